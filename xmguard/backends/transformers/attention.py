"""xmguard's attention function and mask function for transformers, and how one forward pass reads.

A `Reading` travels through the model's keyword arguments to every layer: no globals, no patched modules. A forward
pass without one is an error, and so is a layer that never asked for it: steering is never silently absent. Knows
nothing of requests, prompts or caches beyond the tensors it is handed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from xmguard.attention.head_norms import contribution_norms
from xmguard.attention.segments import Segmentation
from xmguard.attention.split_merge import attend, collect, merge

IMPLEMENTATION = "xmguard"
"""Name under which the functions are registered; pass it as `attn_implementation`."""

KEYWORD = "xmguard_reading"
"""Keyword argument of the model's forward that carries the `Reading`."""


@dataclass(frozen=True)
class AttentionCall:
    """What one layer asks for."""

    layer: int
    query: Tensor
    """[batch, head, query, head_dim]"""
    key: Tensor
    """[batch, kv_head, key, head_dim]: what the forward pass's own cache returned."""
    value: Tensor
    scaling: float
    window: int | None
    soft_cap: float | None
    sinks: Tensor | None


class Reading(Protocol):
    """How one forward pass reads its keys."""

    layers: set[int]
    """Layers that have read so far."""

    def read(self, call: AttentionCall) -> Tensor:
        """Attention output, [batch, head, query, head_dim]."""
        ...


def install() -> None:
    """Register with transformers. Safe to call again."""
    AttentionInterface.register(IMPLEMENTATION, _attention)
    # Without a mask function of the same name transformers would hand out no mask at all, also where one is needed.
    AttentionMaskInterface.register(IMPLEMENTATION, _mask)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    reading: Reading | None = kwargs.get(KEYWORD)
    if reading is None:
        raise RuntimeError("a forward pass of a model loaded by xmguard must carry a Reading")
    if attention_mask is not None or dropout:
        raise RuntimeError("xmguard's attention takes its mask from the Reading and applies no dropout")
    layer = int(module.layer_idx)  # type: ignore[arg-type]  # an int on every attention module of transformers
    output = reading.read(AttentionCall(layer, query, key, value, scaling, sliding_window, softcap, s_aux))
    reading.layers.add(layer)
    return output.to(query.dtype).transpose(1, 2).contiguous(), None


def _mask(attention_mask: Tensor | None = None, **_: Any) -> None:
    """No mask tensor: a Reading knows positions and padding. A mask that hides something is refused, not dropped."""
    if attention_mask is not None and not bool(attention_mask.all()):
        raise RuntimeError("padding is given to xmguard's attention by the Reading, not by attention_mask")


@dataclass
class PlainReading:
    """Causal attention over the pass's own keys, unsteered and unmeasured: the prefill of a context."""

    layers: set[int] = field(default_factory=set)

    def read(self, call: AttentionCall) -> Tensor:
        """Causal attention of the last `query` positions of `key`.

        Raises:
            RuntimeError: for a window, soft cap or sinks, which plain SDPA would ignore.
        """
        if call.window is not None or call.soft_cap is not None or call.sinks is not None:
            raise RuntimeError("the plain prefill has no window, soft cap or sinks")
        rows, keys = call.query.shape[2], call.key.shape[2]
        mask = None
        if rows < keys:  # a later chunk: is_causal would align the triangle at the first key
            at = torch.arange(keys - rows, keys, device=call.query.device)
            mask = torch.arange(keys, device=call.query.device) <= at.unsqueeze(-1)
        return nn.functional.scaled_dot_product_attention(
            call.query,
            call.key,
            call.value,
            attn_mask=mask,
            is_causal=mask is None,
            scale=call.scaling,
            enable_gqa=call.key.shape[1] != call.query.shape[1],
        )


@dataclass(frozen=True)
class ContextKeys:
    """Keys and values of a prefilled context, one pair per layer, shared by every branch that reads it."""

    keys: tuple[Tensor, ...]
    """[1, kv_head, key, head_dim]"""
    values: tuple[Tensor, ...]
    segmentation: Segmentation


@dataclass
class SegmentReading:
    """Attention cut at span borders, merged under a bias, and measured on the way.

    The keys are a shared context (if any) followed by the pass's own.
    """

    segments: int
    own: Segmentation
    """How the pass's own keys are cut; a branch's suffix is all rest."""
    context: ContextKeys | None
    query_positions: Tensor
    """[query], counted in the pass's own keys: row q sees own keys 0 .. query_positions[q]."""
    key_mask: Tensor | None
    """bool [batch, own key], False for padding."""
    epsilon: Tensor | None
    """Nats, broadcastable to [segment, batch, head, query]; None measures only."""
    measured: Tensor | None
    """Indices of batch rows whose contributions are recorded, [measured]; None records nothing."""
    factors: tuple[Tensor, ...]
    """R_h per layer (`norm_factors`)."""
    layers: set[int] = field(default_factory=set)
    norms: dict[int, Tensor] = field(default_factory=dict)
    """Layer to ||u_k||, [segment, measured, head, query]."""
    masses: dict[int, Tensor] = field(default_factory=dict)
    """Layer to attention mass, same shape."""

    def read(self, call: AttentionCall) -> Tensor:
        """Read, steer, record."""
        if call.window is not None:
            raise RuntimeError("a sliding window over a shared context is not read exactly yet")
        partials = []
        if self.context is not None:
            partials += attend(
                call.query,
                self.context.keys[call.layer],
                self.context.values[call.layer],
                segmentation=self.context.segmentation,
                scaling=call.scaling,
                soft_cap=call.soft_cap,
            )
        own_keys = call.key.shape[2]
        one_row_sees_all = call.query.shape[2] == 1 and self.own.length == own_keys
        partials += attend(
            call.query,
            call.key,
            call.value,
            segmentation=self.own,
            scaling=call.scaling,
            query_positions=None if one_row_sees_all else self.query_positions,
            key_positions=None if one_row_sees_all else torch.arange(own_keys, device=call.key.device),
            key_mask=self.key_mask,
            soft_cap=call.soft_cap,
        )
        states = collect(partials, self.segments, like=call.query)
        merged = merge(states, self.epsilon, call.sinks)
        if self.measured is not None:
            out, weights = states.out[:, self.measured], merged.weights[:, self.measured]
            self.norms[call.layer] = contribution_norms(out, weights, self.factors[call.layer])
            self.masses[call.layer] = weights
        return merged.output
