"""Where a transformers model keeps what the engine reads of it: layers, attention, output projections, context length.

The one place with such assumptions. Written for every text decoder of transformers, so that a probe can look at a model
that is not let in.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from torch import nn

_DISPATCH = "ALL_ATTENTION_FUNCTIONS"

_RECURRENT = {"linear_attention", "conv", "hybrid", "hybrid_sliding"}
"""transformers' names in `layer_types` of layers with a recurrent state."""


def decoder_layers(model: Any) -> tuple[nn.Module, ...]:
    """The decoder's layers in order; empty if it has no list of them."""
    # Some classes call something else their decoder; the whole model is looked through then.
    roots = (model.get_decoder(), model)
    lists = [module for root in roots for module in root.modules() if isinstance(module, nn.ModuleList)]
    count = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    return tuple(next((found for found in lists if len(found) == count), lists[0] if lists else ()))


def attentions(layer: nn.Module) -> dict[str, nn.Module]:
    """The parts of a layer that hand queries, keys and values to transformers' attention interface, by name."""
    return {name: module for name, module in layer.named_modules() if _dispatches(type(module).forward)}


@cache
def _dispatches(forward: Callable[..., Any]) -> bool:
    """Whether a forward function looks its attention function up, by its source.

    transformers reads its own source for that too: there is no flag per module, and an attention that computes by
    itself would ignore the bias without a word.
    """
    try:
        return _DISPATCH in inspect.getsource(forward)
    except (OSError, TypeError):  # no source: nothing can be said for it
        return False


def recurrent_layers(config: Any, model: Any) -> dict[int, str]:
    """Layers that mix tokens through a recurrent state: index to the name of the class that keeps the state."""
    declared = getattr(config, "layer_types", None) or []
    found = {}
    for index, layer in enumerate(decoder_layers(model)):
        kind = declared[index] if index < len(declared) else None
        convolving = [module for module in layer.modules() if any(isinstance(c, nn.Conv1d) for c in module.children())]
        if kind in _RECURRENT or convolving or (model._is_stateful and not attentions(layer)):
            found[index] = type(convolving[0] if convolving else layer).__name__
    return found


def output_projections(model: Any) -> tuple[nn.Linear, ...]:
    """W_O of every layer's attention, weight [d_model, head * head_dim], of a model that no probe objects to."""
    return tuple(
        attention.o_proj  # type: ignore[misc]  # a Linear: `oddities.output_projection` refuses anything else
        for layer in decoder_layers(model)
        for attention in attentions(layer).values()
    )


def final_norm(model: Any) -> nn.Module:
    """The normalisation before the unembedding."""
    norm: nn.Module = model.get_decoder().norm
    return norm


def norm_after_attention(layer: nn.Module) -> nn.Module | None:
    """The module that may normalise what attention puts out. In most families it reads the residual stream instead."""
    return getattr(layer, "post_attention_layernorm", None)


def text_section(config: Any) -> str | None:
    """Name of the part of a configuration that is the language model's; None where that is all of it."""
    text = config.get_text_config(decoder=True)
    return next((name for name in config.sub_configs if getattr(config, name, None) is text), None)


def rope_index(model: Any) -> Callable[..., Any] | None:
    """What places the tokens of a sequence with pictures in three dimensions; None where positions are plain ones."""
    return getattr(model.base_model, "get_rope_index", None)


def types_its_tokens(model: Any) -> bool:
    """Whether a model is told which tokens are a picture's, to let them read each other both ways."""
    return "token_type_ids" in inspect.signature(type(model).forward).parameters


def layer_names(indices: Iterable[int]) -> str:
    """`layer 3`, `layers 0-2, 4`: runs of layers, for people."""
    runs: list[list[int]] = []
    for index in sorted(indices):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    names = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return f"{'layer' if len(runs) == 1 and len(runs[0]) == 1 else 'layers'} {', '.join(names)}"
