"""Attention as one pass over the keys cut at segment borders, and the exact merge of the parts.

For one query row with scaled logits s_j, segment k yields

    o_k = sum_{j in k} softmax_k(s)_j v_j        l_k = logsumexp_{j in k} s_j

and the attention under a bias eps is sum_k a_k o_k with a = softmax_k(l_k + eps_k): adding eps_k to l_k *is* adding it
to each logit of segment k (paper, Eq. 2), and a_k o_k is what segment k contributes before W_O (Eq. 1). Nothing of size
query x key is kept beyond a tile of rows. Knows nothing of models or requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xmguard.attention.flash import flash, usable
from xmguard.attention.segments import Piece, Segmentation

TILE_ELEMENTS = 1 << 23
"""Logits held at once, per block of keys: 32 MiB in float32."""


@dataclass(frozen=True)
class Partial:
    """What one piece of keys gives every query row."""

    segment: int
    out: Tensor
    """o, [batch, head, query, head_dim]; zero where the row sees none of the piece."""
    lse: Tensor
    """l in nats, [batch, head, query]; -inf where the row sees none of the piece."""


@dataclass(frozen=True)
class SegmentStates:
    """(o_k, l_k) for every segment, before any bias."""

    out: Tensor
    """[segment, batch, head, query, head_dim]"""
    lse: Tensor
    """[segment, batch, head, query], nats."""


@dataclass(frozen=True)
class Merged:
    """Attention under a bias."""

    output: Tensor
    """[batch, head, query, head_dim]"""
    weights: Tensor
    """a_k: the attention mass of each segment under the bias, [segment, batch, head, query]."""


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    segmentation: Segmentation,
    scaling: float,
    query_positions: Tensor | None = None,
    key_positions: Tensor | None = None,
    key_mask: Tensor | None = None,
    window: int | None = None,
    soft_cap: float | None = None,
    tile_elements: int = TILE_ELEMENTS,
) -> list[Partial]:
    """Run attention piece by piece over one block of keys.

    Args:
        query: [batch, head, query, head_dim].
        key: [batch, kv_head, key, head_dim], or batch 1: one block that all rows of the batch read.
        value: as `key`.
        segmentation: how this block is cut, for the whole batch.
        scaling: factor of the logits.
        query_positions: [query] or [batch, query] integers. With `key_positions` a row sees the keys at or before its
            own position; without them every row sees the whole block.
        key_positions: [key] or [batch, key].
        key_mask: bool [batch, key] or [1, key]; False hides padding.
        window: with positions, a row sees only keys less than this far behind it (a sliding window of that size).
        soft_cap: logits become cap * tanh(logits / cap).
        tile_elements: how many logits to hold at once.

    Returns:
        One `Partial` per piece, in float32 (float64 for float64 inputs).

    Raises:
        ValueError: if only one of the two positions is given, a window without them, or a cut of other keys than these.
    """
    if (query_positions is None) != (key_positions is None):
        raise ValueError("query_positions and key_positions are given together or not at all")
    if window is not None and query_positions is None:
        raise ValueError("a window needs positions")
    batch, heads, rows, head_dim = query.shape
    key_batch, kv_heads, keys, _ = key.shape
    if segmentation.length != keys:
        raise ValueError(f"the segmentation covers {segmentation.length} keys, the block has {keys}")
    dtype = _compute_dtype(query)
    query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if query_positions is None and key_mask is None and soft_cap is None and usable(query):
        return [_flash_piece(query, key, value, piece, scaling) for piece in segmentation.pieces]
    tile = max(1, tile_elements // max(1, batch * heads * keys))
    tiles: list[list[tuple[Tensor, Tensor]]] = []
    for first in range(0, rows, tile):
        part = query[:, :, first : first + tile]
        size = part.shape[2]
        hidden = _hidden(batch, size, first, query_positions, key_positions, key_mask, window)
        # Query heads that share a key head become rows of one product; so does the batch when it shares the keys.
        folded = part.reshape(batch, kv_heads, -1, head_dim)
        if key_batch < batch:
            folded = folded.transpose(0, 1).reshape(1, kv_heads, -1, head_dim)
        logits = torch.matmul(folded * scaling, key.transpose(-1, -2))
        if soft_cap is not None:
            logits = soft_cap * torch.tanh(logits / soft_cap)
        if hidden is not None:
            logits = logits.view(key_batch, kv_heads, -1, heads // kv_heads, size, keys)
            if key_batch < batch:
                hidden = hidden.view(1, 1, batch, 1, size, keys)
            else:
                hidden = hidden.view(batch, 1, 1, 1, size, keys)
            logits = logits.masked_fill(hidden, -torch.inf).view(key_batch, kv_heads, -1, keys)
        tiles.append(
            [
                _unfold(*_softmax_piece(logits, value, piece.start, piece.stop), batch, heads, size, key_batch)
                for piece in segmentation.pieces
            ]
        )
    return [
        Partial(
            piece.segment,
            torch.cat([parts[index][0] for parts in tiles], dim=2) if len(tiles) > 1 else tiles[0][index][0],
            torch.cat([parts[index][1] for parts in tiles], dim=2) if len(tiles) > 1 else tiles[0][index][1],
        )
        for index, piece in enumerate(segmentation.pieces)
    ]


def collect(partials: Sequence[Partial], segments: int, *, like: Tensor) -> SegmentStates:
    """Merge the pieces of each segment, across blocks of keys too.

    `like` is the query tensor [batch, head, query, head_dim]: a segment without any piece becomes (0, -inf) shaped so.
    """
    outs, lses = [], []
    dtype = _compute_dtype(like)
    for segment in range(segments):
        mine = [partial for partial in partials if partial.segment == segment]
        if not mine:
            outs.append(torch.zeros(like.shape, dtype=dtype, device=like.device))
            lses.append(torch.full(like.shape[:3], -torch.inf, dtype=dtype, device=like.device))
        elif len(mine) == 1:
            outs.append(mine[0].out)
            lses.append(mine[0].lse)
        else:
            merged = merge(SegmentStates(torch.stack([p.out for p in mine]), lse := torch.stack([p.lse for p in mine])))
            outs.append(merged.output)
            lses.append(torch.logsumexp(lse, dim=0))
    return SegmentStates(torch.stack(outs), torch.stack(lses))


def merge(states: SegmentStates, epsilon: Tensor | None = None, sinks: Tensor | None = None) -> Merged:
    """Combine the segments under a bias.

    Args:
        states: per-segment outputs and log-sum-exps.
        epsilon: nats, broadcastable to [segment, batch, head, query]; -inf removes a segment. None is no bias.
        sinks: logit per head of an attention sink, [head] or [batch, head]: one more segment with no value, never
            biased.

    A row that sees nothing gets output 0 and weights 0.
    """
    logits = states.lse if epsilon is None else states.lse + epsilon.to(states.lse.dtype)
    terms = logits
    if sinks is not None:
        column = sinks.to(logits.dtype).unsqueeze(-1).expand(1, *logits.shape[1:])
        terms = torch.cat([logits, column])
    peak = terms.amax(dim=0, keepdim=True)
    peak = torch.where(peak == -torch.inf, 0.0, peak)
    exps = torch.exp(terms - peak)
    # The largest term is exp(0) = 1, so the sum is at least 1 wherever anything is seen.
    weights = exps[: logits.shape[0]] / exps.sum(dim=0, keepdim=True).clamp_min(1.0)
    output = (weights.unsqueeze(-1) * states.out).sum(dim=0)
    return Merged(output, weights)


def _flash_piece(query: Tensor, key: Tensor, value: Tensor, piece: Piece, scaling: float) -> Partial:
    """One piece that every row sees whole."""
    keys = slice(piece.start, piece.stop)
    return Partial(piece.segment, *flash(query, key[:, :, keys], value[:, :, keys], scaling=scaling))


def _softmax_piece(logits: Tensor, value: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """(o, l) of the keys start .. stop - 1; logits [key_batch, kv_head, row, key]."""
    part = logits[..., start:stop]
    peak = part.amax(dim=-1, keepdim=True)
    peak = torch.where(peak == -torch.inf, 0.0, peak)
    exps = torch.exp(part - peak)
    total = exps.sum(dim=-1, keepdim=True)
    # total is at least 1 where anything is seen, else exactly 0; log(0) = -inf is what an unseen piece must say.
    out = torch.matmul(exps, value[:, :, start:stop]) / total.clamp_min(1.0)
    return out, (total.log() + peak).squeeze(-1)


def _unfold(out: Tensor, lse: Tensor, batch: int, heads: int, rows: int, key_batch: int) -> tuple[Tensor, Tensor]:
    """Rows of a folded product back to [batch, head, query, ...]."""
    kv_heads, head_dim = out.shape[1], out.shape[-1]
    if key_batch < batch:
        out = out.view(kv_heads, batch, -1, head_dim).transpose(0, 1)
        lse = lse.view(kv_heads, batch, -1).transpose(0, 1)
    return out.reshape(batch, heads, rows, head_dim), lse.reshape(batch, heads, rows)


def _hidden(
    batch: int,
    rows: int,
    first: int,
    query_positions: Tensor | None,
    key_positions: Tensor | None,
    key_mask: Tensor | None,
    window: int | None,
) -> Tensor | None:
    """Which keys each row must not see, bool [batch, query, key]; None when it sees all."""
    hidden = None
    if query_positions is not None and key_positions is not None:
        at = query_positions[..., first : first + rows].unsqueeze(-1)
        keys = key_positions.unsqueeze(-2)
        hidden = keys > at
        if window is not None:
            hidden = hidden | (keys <= at - window)
        hidden = hidden.expand(batch, rows, -1)
    if key_mask is not None:
        padding = ~key_mask.unsqueeze(-2).expand(batch, rows, -1)
        hidden = padding if hidden is None else hidden | padding
    return hidden


def _compute_dtype(tensor: Tensor) -> torch.dtype:
    """float32 at least: bfloat16 logits would round the very numbers a bias of a few nats is compared with."""
    return torch.promote_types(tensor.dtype, torch.float32)
