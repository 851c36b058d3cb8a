"""What is particular about a model that is steered exactly: how its measurements have to be read, and what bounds them.

Looks at modules and settings, never at a model's name: a family is described by what it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from xmguard.backends.context_length import longrope_length
from xmguard.backends.transformers.families.examination import Particular
from xmguard.backends.transformers.families.layout import (
    attentions,
    decoder_layers,
    layer_names,
    rope_index,
    text_section,
    types_its_tokens,
)


def particulars(model: Any) -> tuple[Particular, ...]:
    """Everything particular about a model without weights, in the order of a forward pass."""
    config = model.config.get_text_config(decoder=True)
    layers = decoder_layers(model)
    attending = [next(iter(attentions(layer).values()), nn.Module()) for layer in layers]
    return (
        *_pictures(model),
        *_positions(config, attending),
        *_logits(config, attending),
        *_written(config, layers, attending),
    )


def _pictures(model: Any) -> Iterator[Particular]:
    if text_section(model.config) is None:
        return
    yield Particular("pictures", "a run of tokens each, as the model's processor lays it out")
    if rope_index(model):
        yield Particular("positions in three dimensions", "a picture's tokens share some, later text goes on")
    if types_its_tokens(model):
        yield Particular("pictures read both ways", "by their own tokens: scope ALL is refused then")


def _positions(config: Any, attending: list[nn.Module]) -> Iterator[Particular]:
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    sliding = [
        index for index in range(len(attending)) if window and (kinds is None or kinds[index] == "sliding_attention")
    ]
    if sliding:
        everywhere = "in every layer" if len(sliding) == len(attending) else f"in {layer_names(sliding)}"
        yield Particular("sliding window", f"of {window} tokens {everywhere}: a span that it hides contributes nothing")
    unrotated = [index for index, attention in enumerate(attending) if not getattr(attention, "use_rope", True)]
    if unrotated:
        yield Particular("layers without rotary positions", layer_names(unrotated))
    if length := longrope_length(config):
        yield Particular(
            "long rotary factors", f"beyond {length} tokens every position turns otherwise: the context ends there"
        )


def _logits(config: Any, attending: list[nn.Module]) -> Iterator[Particular]:
    if any(hasattr(attention, "q_norm") for attention in attending):
        yield Particular("query and key norms", "before the logits")
    scales = {scale for attention in attending if (scale := _own_scale(attention))}
    if scales:
        yield Particular("attention scale of its own", ", ".join(f"{scale:g}" for scale in sorted(scales)))
    if cap := getattr(config, "attn_logit_softcapping", None):
        yield Particular("soft cap", f"logits stay within {cap:g}; epsilon is added after it")
    if any(hasattr(attention, "sinks") for attention in attending):
        yield Particular("attention sinks", "one logit per head that no span can hold: shares sum to less than 1")
    dropout = getattr(config, "attention_dropout", None)
    if dropout:
        yield Particular("attention dropout", f"{dropout:g}, in training only: none here")


def _own_scale(attention: Any) -> float | None:
    """The factor of the logits where it is not 1 / sqrt(head_dim)."""
    width, scale = getattr(attention, "head_dim", None), getattr(attention, "scaling", None)
    return None if width is None or scale is None or abs(scale - width**-0.5) < 1e-6 else float(scale)


def _written(config: Any, layers: tuple[nn.Module, ...], attending: list[nn.Module]) -> Iterator[Particular]:
    if any(getattr(getattr(attention, "o_proj", None), "bias", None) is not None for attention in attending):
        yield Particular("output bias", "of the attention; it belongs to no span")
    if any(_normed_after(layer) for layer in layers):
        yield Particular("post-attention norm", "contributions are norms before the post-attention norm")
    multiplier = getattr(config, "residual_multiplier", 1.0)
    if multiplier != 1.0:
        yield Particular("residual multiplier", f"contributions are norms before the multiplier {multiplier:g}")
    if any(hasattr(layer, "input_layernorm") and not hasattr(layer, "post_attention_layernorm") for layer in layers):
        yield Particular("parallel MLP", "it reads what the attention reads")
    if any(name.endswith("experts") for layer in layers for name, _ in layer.named_modules()):
        yield Particular("routed experts", "where two nearly tie, rounding decides which one a token takes")


def _normed_after(layer: nn.Module) -> bool:
    """Whether what attention writes is normalised before the residual stream.

    `post_attention_layernorm` is the name of two things: the norm before the MLP, in a layer that has an
    `input_layernorm` and no other norm, and this one.
    """
    return hasattr(layer, "post_attention_layernorm") and (
        hasattr(layer, "pre_feedforward_layernorm") or not hasattr(layer, "input_layernorm")
    )
