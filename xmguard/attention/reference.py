"""The mathematics of segmented attention stated plainly, in float64 and with every weight materialised.

For tests and for readers. It loops over nothing clever, uses no split and no merge, and must never be used to serve:
it is the thing that `xmguard.attention.split_merge` is proven against.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmguard.attention.segments import Segmentation


@dataclass(frozen=True)
class Reference:
    """Results in float64."""

    output: Tensor
    """[batch, head, query, head_dim]"""
    weights: Tensor
    """[batch, head, query, key], after the bias."""
    segment_outputs: Tensor
    """sum over a segment's keys of w_j v_j, [segment, batch, head, query, head_dim]; sums to `output`."""
    masses: Tensor
    """[segment, batch, head, query]; with sinks they sum to less than 1."""


def reference_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    segmentation: Segmentation,
    epsilon: Tensor,
    scaling: float,
    visible: Tensor,
    soft_cap: float | None = None,
    sinks: Tensor | None = None,
) -> Reference:
    """Attention under a per-segment bias, straight from the paper's Eq. 1 and 2.

    Args:
        query: [batch, head, query, head_dim].
        key: [batch, kv_head, key, head_dim]; every `head / kv_head` query heads share one.
        value: [batch, kv_head, key, head_dim].
        segmentation: how the keys are cut.
        epsilon: nats, broadcastable to [segment, batch, head, query].
        scaling: factor of the logits.
        visible: bool, broadcastable to [batch, head, query, key]: causality, window and padding in one.
        soft_cap: logits become cap * tanh(logits / cap), before the bias.
        sinks: extra logit per head without a value, [head].
    """
    query, key, value = query.double(), key.double(), value.double()
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) * scaling
    if soft_cap is not None:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    epsilon = epsilon.double().expand(segmentation.segments, *logits.shape[:3])
    for piece in segmentation.pieces:
        logits[..., piece.start : piece.stop] += epsilon[piece.segment].unsqueeze(-1)
    logits = logits.masked_fill(~visible, -torch.inf)
    all_logits = logits
    if sinks is not None:
        column = sinks.double().view(1, -1, 1, 1).expand(*logits.shape[:3], 1)
        all_logits = torch.cat([logits, column], dim=-1)
    # A row that sees nothing has no distribution: its weights are 0, not NaN.
    weights = torch.softmax(all_logits, dim=-1).nan_to_num(0.0)[..., : logits.shape[-1]]
    outputs = torch.zeros(segmentation.segments, *query.shape, dtype=torch.float64)
    masses = torch.zeros(segmentation.segments, *query.shape[:3], dtype=torch.float64)
    for piece in segmentation.pieces:
        part = weights[..., piece.start : piece.stop]
        outputs[piece.segment] += part @ value[:, :, piece.start : piece.stop]
        masses[piece.segment] += part.sum(-1)
    return Reference(outputs.sum(0), weights, outputs, masses)
