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
from transformers.masking_utils import sdpa_mask

from xmguard.attention.flash import flash, merge_two, usable
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
    mask: Tensor | None = None
    """Visible keys, bool [batch, 1, query, key], window included; None is causal attention in the window."""


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
    if dropout:
        raise RuntimeError("xmguard's attention applies no dropout")
    layer = int(module.layer_idx)  # type: ignore[arg-type]  # an int on every attention module of transformers
    call = AttentionCall(layer, query, key, value, scaling, sliding_window, softcap, s_aux, attention_mask)
    output = reading.read(call)
    reading.layers.add(layer)
    return output.to(query.dtype).transpose(1, 2).contiguous(), None


def _mask(attention_mask: Tensor | None = None, allow_is_causal_skip: bool = True, **asked: Any) -> Tensor | None:
    """No mask tensor where attention is causal: a Reading knows positions and padding.

    Where a model asks for more (tokens of a picture that read each other both ways), it gets its own mask. A mask that
    hides something is refused, not dropped.
    """
    if attention_mask is not None and not bool(attention_mask.all()):
        raise RuntimeError("padding is given to xmguard's attention by the Reading, not by attention_mask")
    if allow_is_causal_skip:
        return None
    mask: Tensor | None = sdpa_mask(**(asked | {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}))
    return mask


@dataclass
class PlainReading:
    """Causal attention over the pass's own keys, unsteered and unmeasured: the prefill of a context."""

    layers: set[int] = field(default_factory=set)

    def read(self, call: AttentionCall) -> Tensor:
        """Attention of the last `query` positions of `key`, causal unless the model says otherwise."""
        rows, keys = call.query.shape[2], call.key.shape[2]
        at = torch.arange(keys - rows, keys, device=call.query.device)
        columns = torch.arange(keys, device=call.query.device)
        if call.soft_cap is not None or call.sinks is not None:  # SDPA knows neither
            if call.mask is not None:
                raise RuntimeError("a mask of the model's own cannot be read under a soft cap or with sinks")
            partials = attend(
                call.query,
                call.key,
                call.value,
                segmentation=Segmentation.from_spans([], keys),
                scaling=call.scaling,
                query_positions=at,
                key_positions=columns,
                window=call.window,
                soft_cap=call.soft_cap,
            )
            return merge(collect(partials, 1, like=call.query), sinks=call.sinks).output
        if call.mask is not None:
            return _sdpa(call, call.mask)
        windowed = call.window is not None and call.window < keys
        if rows < keys and not windowed and usable(call.query):
            # A later chunk sees all of the earlier ones: only its own keys need a triangle, and no mask is made.
            past, own = slice(keys - rows), slice(keys - rows, keys)
            earlier = flash(call.query, call.key[:, :, past], call.value[:, :, past], scaling=call.scaling)
            latest = flash(call.query, call.key[:, :, own], call.value[:, :, own], scaling=call.scaling, causal=True)
            return merge_two(earlier, latest)
        mask = None
        if rows < keys or windowed:
            # A later chunk, where is_causal would align the triangle at the first key, or a window that hides some.
            mask = columns <= at.unsqueeze(-1)
            if call.window is not None:
                mask &= columns > at.unsqueeze(-1) - call.window
        return _sdpa(call, mask)


def _sdpa(call: AttentionCall, mask: Tensor | None) -> Tensor:
    """Under a mask, or causal."""
    return nn.functional.scaled_dot_product_attention(
        call.query,
        call.key,
        call.value,
        attn_mask=mask,
        is_causal=mask is None,
        scale=call.scaling,
        enable_gqa=call.key.shape[1] != call.query.shape[1],
    )
