"""Attention for training on a CPU: plain matrix products over grouped queries, where they beat torch's fused kernel.

torch's kernel takes three to four times as long there with its gradient in bfloat16, as long as the matrix of scores
stays small. Same arithmetic as transformers' eager attention. Knows no model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

IMPLEMENTATION = "xmguard_grouped"
"""Name under which it is registered; pass it as `attn_implementation`."""
_LARGEST = 512 * 512
"""Scores of a head; with more of them the fused kernel's gradient is as fast, and it keeps none."""


def install() -> None:
    """Register with transformers. Safe to call again."""
    AttentionInterface.register(IMPLEMENTATION, _attention)
    AttentionMaskInterface.register(IMPLEMENTATION, sdpa_mask)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """As transformers calls it: query [batch, head, query, head_dim], mask bool [batch, 1, query, key]."""
    unusual = dropout or kwargs.get("softcap") is not None or kwargs.get("position_bias") is not None
    large = query.shape[2] * key.shape[2] > _LARGEST
    if unusual or large or not torch.is_grad_enabled():  # without a gradient the fused kernel is no slower
        given = {"dropout": dropout, "scaling": scaling, **kwargs}
        fused: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **given)
        return fused
    return grouped(query, key, value, attention_mask, scaling).transpose(1, 2).contiguous(), None


def grouped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None) -> Tensor:
    """Attention output, [batch, head, query, head_dim].

    Args:
        query: [batch, head, query, head_dim]; heads of one group stand together.
        key: [batch, kv_head, key, head_dim].
        value: as `key`.
        mask: visible keys, bool [batch, 1, query, key]; None is causal attention, the last query seeing the last key.
        scaling: of the scores; None is 1 / sqrt(head_dim).
    """
    batch, heads, rows, size = query.shape
    groups, keys = key.shape[1], key.shape[2]
    if mask is None:
        mask = query.new_ones(rows, keys, dtype=torch.bool).tril(keys - rows)[None, None]
    hidden = torch.zeros(mask.shape, dtype=query.dtype, device=query.device).masked_fill_(~mask, float("-inf"))
    together = (batch * groups, heads // groups * rows)
    hidden = hidden[:, :, None].expand(batch, groups, heads // groups, rows, keys).reshape(*together, keys)
    scaled = query * (size**-0.5 if scaling is None else scaling)
    scores = torch.baddbmm(
        hidden, scaled.reshape(*together, size), key.reshape(batch * groups, keys, size).transpose(1, 2)
    )
    read = torch.bmm(scores.softmax(-1), value.reshape(batch * groups, keys, size))
    return read.view(batch, heads, rows, size)
