"""The direct logit that each span adds to given tokens: its contribution projected on their unembedding.

Between an attention layer's output and the logits lie, on the direct path, only what is linear once the normalisations
are held at what they were: a norm after attention in some families, a residual multiplier, the final norm, and the
unembedding. What a span adds through later layers is not counted. Norms are probed, not recognised by name. A soft cap
on the logits is left out: these are logits before it. Knows nothing of branches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import DynamicCache

from xmguard.backends.transformers.attention import AttentionCall
from xmguard.backends.transformers.branch_reading import segmented
from xmguard.backends.transformers.families.layout import (
    attentions,
    decoder_layers,
    final_norm,
    norm_after_attention,
    output_projections,
)
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.backends.transformers.prefill import forward
from xmguard.backends.transformers.rows import Rows

PROBE = 1e4
"""Size of the vectors that norms are probed with: next to it the epsilon under their root is nothing."""


@torch.inference_mode()
def directed(loaded: LoadedModel, rows: Rows, read: Sequence[int], said: Sequence[int], cache: DynamicCache) -> Tensor:
    """Nats of logit that each segment adds to each token, [layer, head, segment, query].

    Args:
        loaded: the model.
        rows: of one branch, one row per token that is read.
        read: the tokens whose rows predict `said`.
        said: the tokens whose logits are asked for, as many.
        cache: the branch's own keys before `read`.
    """
    model = loaded.model
    reading = _PartReading(rows)
    ids = torch.tensor([list(read)], device=model.device)
    with _Watch(model) as watch:
        forward(loaded, ids, rows.rotary, cache, reading, keep=1, adapted=rows.adapted)
    unembedding = model.get_output_embeddings().weight[list(said)].float()
    config = model.config.get_text_config(decoder=True)
    scale = getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
    toward = watch.final.back(unembedding * scale)  # [query, d_model], in the residual stream
    layers = []
    for number, (layer, projection) in enumerate(zip(decoder_layers(model), output_projections(model), strict=True)):
        onto = toward * getattr(layer, "residual_multiplier", 1.0)
        if number in watch.after_attention:
            onto = watch.after_attention[number].back(onto)
        parts = reading.parts[number]  # [segment, head, query, head_dim]
        heads, queries, head_dim = parts.shape[1:]
        weight = projection.weight.float() if rows.adapted is None else rows.adapted.weight(projection)
        onto = (onto @ weight).view(queries, heads, head_dim)
        layers.append(torch.einsum("shqd,qhd->hsq", parts.float(), onto))
    return torch.stack(layers)


@dataclass
class _PartReading:
    """Reads cut at span borders and keeps what every segment gives each head, a_k o_k."""

    rows: Rows
    layers: set[int] = field(default_factory=set)
    parts: dict[int, Tensor] = field(default_factory=dict)

    def read(self, call: AttentionCall) -> Tensor:
        states, merged, _ = segmented(self.rows, call)
        self.parts[call.layer] = (merged.weights.unsqueeze(-1) * states.out)[:, 0]
        return merged.output


@dataclass(frozen=True)
class _HeldNorm:
    """A normalisation with its statistics held: y = scale * gain * (x - mean x), or without the mean."""

    gain: Tensor
    """[d_model]"""
    scale: Tensor
    """[query, 1]"""
    centred: bool

    @classmethod
    def of(cls, norm: Callable[[Tensor], Tensor], before: Tensor, after: Tensor) -> _HeldNorm:
        """From what went in and what came out, [query, d_model] each."""
        ones = torch.ones_like(before[:1])
        signs = ones.clone()
        signs[:, 1::2] = -1  # their mean is 0, and their root mean square 1
        probed = norm(signs * PROBE)
        centred = bool(norm(ones * PROBE).abs().max() < 1e-3 * probed.abs().max())
        gain = (probed * signs)[0].float()
        before, after = before.float(), after.float()
        moved = gain * (before - before.mean(-1, keepdim=True) if centred else before)
        scale = (after * moved).sum(-1, keepdim=True) / (moved * moved).sum(-1, keepdim=True)
        return cls(gain, scale, centred)

    def back(self, direction: Tensor) -> Tensor:
        """The direction before the norm whose product with x is that of `direction` with y, [query, d_model]."""
        pulled = self.scale * self.gain * direction
        return pulled - pulled.mean(-1, keepdim=True) if self.centred else pulled


class _Watch(ExitStack):
    """While entered, sees what the norms on the direct path of one sequence take in and put out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model
        self._final: _HeldNorm | None = None
        self.after_attention: dict[int, _HeldNorm] = {}
        """Layer to the norm between its attention's output and the residual stream; absent where there is none."""

    def __enter__(self) -> _Watch:
        self._keep(final_norm(self._model).register_forward_hook(self._at_the_end))
        for number, layer in enumerate(decoder_layers(self._model)):
            norm = norm_after_attention(layer)
            if norm is None:
                continue
            # On the path only where it reads what attention has just put out.
            attended: list[Tensor] = []
            for attention in attentions(layer).values():
                self._keep(attention.register_forward_hook(partial(_note, attended)))
            self._keep(norm.register_forward_hook(partial(self._after_attention, number, attended)))
        return self

    @property
    def final(self) -> _HeldNorm:
        """The norm before the unembedding."""
        if self._final is None:
            raise RuntimeError("the model ran without its final norm")
        return self._final

    def _keep(self, handle: RemovableHandle) -> None:
        self.callback(handle.remove)

    def _at_the_end(self, norm: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        self._final = _held(norm, inputs[0], output)

    def _after_attention(
        self, number: int, attended: list[Tensor], norm: nn.Module, inputs: tuple[Tensor], output: Tensor
    ) -> None:
        if attended and inputs[0] is attended[0]:
            self.after_attention[number] = _held(norm, inputs[0], output)


def _note(into: list[Tensor], module: nn.Module, inputs: tuple[Any], output: tuple[Tensor, Any]) -> None:
    into[:] = output[:1]


def _held(norm: nn.Module, before: Tensor, after: Tensor) -> _HeldNorm:
    # Its forward, not the module: calling that would run this hook again.
    return _HeldNorm.of(norm.forward, before[0], after[0])
