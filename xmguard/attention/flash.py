"""Whole blocks of keys through torch's CPU flash kernel, which returns the log-sum-exp that merging needs.

A constant epsilon per key rides along as an additive mask with one row per query row, so a biased block costs what a
plain one costs; segments are not told apart. Holds no logits. Knows nothing of models or requests.
"""

from __future__ import annotations

import torch
from torch import Tensor

_DTYPES = frozenset({torch.float32, torch.bfloat16})


def usable(query: Tensor) -> bool:
    """Whether the kernel takes such tensors."""
    return query.device.type == "cpu" and query.dtype in _DTYPES


def flash(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float, mask: Tensor | None = None, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Attention over one block of keys: (o [batch, head, query, head_dim], l [batch, head, query] in nats).

    A block that the whole batch shares is read once: batch rows, and the query heads of a key head, become rows of one
    product. Where a mask hides every key of a row, o is 0 and l is **0**, not -inf: see `unseen`.

    Args:
        query: [batch, head, query, head_dim].
        key: [batch, kv_head, key, head_dim], or batch 1: one block that all rows of the batch read.
        value: as `key`.
        scaling: factor of the logits.
        mask: nats, -inf hides. Broadcastable to [batch, head, query, key]; for a shared block one of `shared_mask`.
        causal: row i sees keys 0 .. i, of as many keys as rows; not for a shared block.
    """
    batch, heads, rows, head_dim = query.shape
    key_batch, kv_heads = key.shape[:2]
    if key_batch == batch:
        return _kernel(query, key, value, scaling, mask, causal)
    folded = query.reshape(batch, kv_heads, -1, head_dim).transpose(0, 1).reshape(1, kv_heads, -1, head_dim)
    out, lse = _kernel(folded, key, value, scaling, mask, False)
    out = out.reshape(kv_heads, batch, -1, head_dim).transpose(0, 1)
    lse = lse.reshape(kv_heads, batch, -1).transpose(0, 1)
    return out.reshape(batch, heads, rows, head_dim), lse.reshape(batch, heads, rows)


def _kernel(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, mask: Tensor | None, causal: bool
) -> tuple[Tensor, Tensor]:
    # SDPA's public front door returns no log-sum-exp; this is the kernel that it calls.
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, causal, attn_mask=mask, scale=scaling
    )
    return out, lse


def shared_mask(epsilon: Tensor, segment_of_key: Tensor, kv_heads: int, heads: int, rows: int) -> Tensor | None:
    """Epsilon of every key as the additive mask of a shared block for `flash`; None when it is 0 everywhere.

    Args:
        epsilon: nats, [segment, batch, 1 or head]; the same for all rows of a batch entry.
        segment_of_key: [key] integers.
        kv_heads: key heads.
        heads: query heads.
        rows: query rows per head.
    """
    if not bool(epsilon.any()):
        return None
    of_key = epsilon.float()[segment_of_key].permute(1, 2, 0)  # [batch, 1 or head, key]
    batch, per_head, keys = of_key.shape
    group = heads // kv_heads
    if batch == 1:
        return of_key.unsqueeze(2)
    if per_head == 1:
        rows_of_group = of_key.expand(batch, group, keys).unsqueeze(0)
    else:
        rows_of_group = of_key.view(batch, kv_heads, group, keys).transpose(0, 1)
    mask = rows_of_group.unsqueeze(3).expand(-1, -1, -1, rows, -1)
    return mask.reshape(1, -1, batch * group * rows, keys)


def unseen(epsilon: Tensor, present: Tensor) -> Tensor | None:
    """Which batch rows a bias leaves nothing of a block, bool [batch, 1 or head]; None if there are none.

    Args:
        epsilon: nats, [segment, batch, 1 or head].
        present: bool [segment]: the segments that have keys in the block.
    """
    gone = (epsilon[present] == -torch.inf).all(dim=0)
    return gone if bool(gone.any()) else None


def merge_two(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], sinks: Tensor | None = None) -> Tensor:
    """Attention over two blocks from their (o, l), [batch, head, query, head_dim].

    Every row sees a key of the second block.

    Args:
        first: of one block; l may be -inf.
        second: of the other.
        sinks: logit per head of an attention sink, [head].
    """
    (out_a, lse_a), (out_b, lse_b) = first, second
    share = torch.sigmoid(lse_a - lse_b).unsqueeze(-1)
    out = torch.lerp(out_b.to(share.dtype), out_a.to(share.dtype), share)
    if sinks is not None:
        total = torch.logaddexp(lse_a, lse_b)
        out = out * torch.sigmoid(total - sinks.to(total.dtype).view(1, -1, 1)).unsqueeze(-1)
    return out
