"""Segmented attention on a GPU: `split_merge` and `head_norms` in two kernels, every key read once.

The keys are cut into chunks that never cross a segment border, so one launch per block of keys gives (o, l) of each
chunk, and one more merges them into segments, weighs these under the bias, and measures what each contributes. Knows
nothing of models or requests. Import it only where triton is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from xmguard.attention.segments import Segmentation
from xmguard.attention.split_merge import SegmentStates
from xmguard.attention.triton_kernels import chunk_kernel, merge_kernel

CHUNK = 256
"""Keys per chunk: enough chunks to fill a GPU when one token is decoded over a context of a few thousand."""

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What queries, keys and values may be. Sums and results per segment are float32 in any case."""


@dataclass(frozen=True)
class ChunkPlan:
    """How blocks of keys are cut into chunks, as tables on the device: made once, for every layer and step."""

    chunks: Tensor
    """int32 [chunk, 3]: start, stop, slot; the blocks one after another. A chunk's results go to its slot."""
    owners: Tensor
    """int32 [chunk]: the segment of each slot, ascending."""
    offsets: Tensor
    """int32 [segment + 1]: the first slot of each segment, then the number of slots."""
    counts: tuple[int, ...]
    """Chunks of each block."""
    lengths: tuple[int, ...]
    """Keys of each block."""
    growing: bool
    """Whether the last block may have fewer keys than its length."""

    @property
    def segments(self) -> int:
        """How many segments there are, the rest included."""
        return self.offsets.shape[0] - 1

    @classmethod
    def of(
        cls,
        cuts: Sequence[Segmentation],
        *,
        segments: int,
        device: torch.device | str,
        chunk: int = CHUNK,
        growing: bool = False,
    ) -> ChunkPlan:
        """Cut the blocks.

        Args:
            cuts: how each block is cut, in the order in which the blocks are given later.
            segments: number of segments, the rest included.
            device: where the queries are.
            chunk: most keys of a chunk. The partial results take `chunks * rows * (head_dim + 1)` float32 with
                `rows = batch * head * query`: raise it where there are many rows, which fill the GPU by themselves.
            growing: the last block is a suffix that grows up to the length of its cut; it may be shorter when read.

        Raises:
            ValueError: if there is no block, or a cut has more segments than `segments`.
        """
        if not cuts:
            raise ValueError("there is no block of keys to cut")
        if (most := max(cut.segments for cut in cuts)) > segments:
            raise ValueError(f"a cut has {most} segments, the plan {segments}")
        blocks = [
            [
                (start, min(start + chunk, piece.stop), piece.segment)
                for piece in cut.pieces
                for start in range(piece.start, piece.stop, chunk)
            ]
            for cut in cuts
        ]
        flat = [entry for block in blocks for entry in block]
        order = sorted(range(len(flat)), key=lambda index: flat[index][2])
        slots = {index: slot for slot, index in enumerate(order)}
        owners = [flat[index][2] for index in order]
        offsets = [sum(owner < segment for owner in owners) for segment in range(segments + 1)]

        def table(rows: Sequence[int] | Sequence[tuple[int, int, int]]) -> Tensor:
            return torch.tensor(rows, dtype=torch.int32, device=device)

        return cls(
            chunks=table([(start, stop, slots[index]) for index, (start, stop, _) in enumerate(flat)]).view(-1, 3),
            owners=table(owners),
            offsets=table(offsets),
            counts=tuple(len(block) for block in blocks),
            lengths=tuple(cut.length for cut in cuts),
            growing=growing,
        )


@dataclass(frozen=True)
class KeyBlock:
    """Keys and values that are read together. Any strides: a slice of a cache needs no copy."""

    key: Tensor
    """[batch, kv_head, key, head_dim], or batch 1: the whole batch reads it, and the rows of a tile share one read."""
    value: Tensor
    """As `key`."""
    key_positions: Tensor | None = None
    """Integers, [key] or [key batch, key]. A row sees the keys at or before its own position; None shows it all."""
    key_mask: Tensor | None = None
    """bool [key batch, key]; False hides padding."""


@dataclass(frozen=True)
class Segmented:
    """Attention under a bias, and what it is made of."""

    output: Tensor
    """[batch, head, query, head_dim] in the query's dtype; its memory is laid out as [batch, query, head, head_dim]."""
    weights: Tensor
    """a_k: the attention mass of each segment under the bias, [segment, batch, head, query], float32."""
    norms: Tensor | None
    """||W_O^h a_k o_k||, as `weights`; None without factors."""
    states: SegmentStates | None
    """(o_k, l_k) before any bias, float32; None if not asked for."""


def segmented_attention(
    query: Tensor,
    blocks: Sequence[KeyBlock],
    plan: ChunkPlan,
    *,
    scaling: float,
    epsilon: Tensor | None = None,
    query_positions: Tensor | None = None,
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: Tensor | None = None,
    factors: Tensor | None = None,
    states: bool = False,
) -> Segmented:
    """Attention over blocks of keys under a per-segment bias. The host waits for nothing and copies nothing.

    Args:
        query: [batch, head, query, head_dim].
        blocks: what is read; the softmax runs over all of them.
        plan: how they are cut.
        scaling: factor of the logits.
        epsilon: nats, broadcastable to [segment, batch, head, query]; -inf removes a segment. None is no bias.
        query_positions: [query] or [batch, query] integers; needed by blocks that have positions.
        window: a row sees only keys less than this far behind it; every block then needs positions.
        soft_cap: logits become cap * tanh(logits / cap), before the bias.
        sinks: logit per head of an attention sink, [head]: a share without a value, never biased.
        factors: R_h of `head_norms.norm_factors`, [head, e, head_dim] float32; None measures no norms.
        states: whether to return (o_k, l_k).

    A row that sees nothing gets output 0 and weights 0. Sums are in float32; for 16-bit inputs the softmax's
    weights are rounded to the dtype of the values before they are multiplied, as flash attention does.

    Raises:
        ValueError: if shapes, dtypes, positions or the plan do not fit each other.
    """
    _check(query, blocks, plan, query_positions, window)
    batch, heads, queries, head_dim = query.shape
    rows = batch * heads * queries
    segments, slots = plan.segments, plan.owners.shape[0]
    if query_positions is not None:
        query_positions = query_positions.expand(batch, queries)
    block_dim = max(16, triton.next_power_of_2(head_dim))

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32, device=query.device)

    # What the model's output projection reads next, without a copy.
    output = torch.empty(batch, queries, heads, head_dim, dtype=query.dtype, device=query.device).transpose(1, 2)
    weights = empty(segments, batch, heads, queries)
    norms = None if factors is None else empty(segments, batch, heads, queries)
    kept = SegmentStates(empty(segments, *query.shape), empty(segments, batch, heads, queries)) if states else None
    partial_out, partial_lse = empty(slots, rows, head_dim), empty(slots, rows)
    biases = None if epsilon is None else epsilon.expand(segments, batch, heads, queries)
    with torch.cuda.device(query.device) if query.is_cuda else nullcontext():
        first = 0
        for block, count in zip(blocks, plan.counts, strict=True):
            _read(
                query,
                block,
                plan.chunks[first : first + count],
                partial_out,
                partial_lse,
                query_positions,
                scaling,
                window,
                soft_cap,
                block_dim,
            )
            first += count
        merge_kernel[(rows,)](
            partial_out,
            partial_lse,
            plan.owners,
            plan.offsets,
            biases,
            sinks,
            None if factors is None else factors.contiguous(),
            output,
            weights,
            norms,
            None if kept is None else kept.out,
            None if kept is None else kept.lse,
            slots,
            segments,
            rows,
            heads,
            queries,
            head_dim,
            0 if factors is None else factors.shape[1],
            *((0, 0, 0, 0) if biases is None else biases.stride()),
            *output.stride()[:3],
            block_slots=16,
            block_segments=16,
            block_dim=block_dim,
            block_width=16,
            enable_fp_fusion=True,
        )
    return Segmented(output, weights, norms, kept)


def _read(
    query: Tensor,
    block: KeyBlock,
    chunks: Tensor,
    partial_out: Tensor,
    partial_lse: Tensor,
    query_positions: Tensor | None,
    scaling: float,
    window: int | None,
    soft_cap: float | None,
    block_dim: int,
) -> None:
    """(o, l) of each chunk of a block, written to the slots the chunks name."""
    batch, heads, queries, head_dim = query.shape
    key_batch, kv_heads, keys, _ = block.key.shape
    groups = heads // kv_heads
    rows = batch // key_batch * groups * queries
    block_rows, block_keys, num_warps = _tile(rows, block_dim, query.dtype)
    row_tiles = triton.cdiv(rows, block_rows)
    positions, mask = block.key_positions, block.key_mask
    if positions is not None:
        positions = positions.expand(key_batch, keys)
    if mask is not None:
        mask = mask.expand(key_batch, keys).view(torch.uint8)
    if not chunks.shape[0]:  # a grid has at least one program
        return
    chunk_kernel[(chunks.shape[0] * row_tiles, kv_heads, key_batch)](
        query,
        block.key,
        block.value,
        chunks,
        partial_out,
        partial_lse,
        None if positions is None else query_positions,
        positions,
        mask,
        scaling,
        window,
        soft_cap,
        keys,
        rows,
        row_tiles,
        batch,
        heads,
        groups,
        queries,
        head_dim,
        *query.stride(),
        *block.key.stride(),
        *block.value.stride(),
        *((0, 0) if query_positions is None else query_positions.stride()),
        0 if positions is None else positions.stride(0),
        0 if mask is None else mask.stride(0),
        block_rows=block_rows,
        block_keys=block_keys,
        block_dim=block_dim,
        num_warps=num_warps,
        num_stages=2,
        enable_fp_fusion=True,
    )


def _tile(rows: int, block_dim: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """Rows and keys of a tile, and warps: the largest that ptxas fits into the registers of sm_80 and sm_90."""
    if dtype == torch.float32:
        return 16, max(16, min(32, 4096 // block_dim)), 8
    side = max(16, min(64, 8192 // block_dim))
    return min(side, max(16, triton.next_power_of_2(rows))), side, 4


def _check(
    query: Tensor, blocks: Sequence[KeyBlock], plan: ChunkPlan, query_positions: Tensor | None, window: int | None
) -> None:
    batch, heads, _, head_dim = query.shape
    if query.dtype not in DTYPES:
        raise ValueError(f"queries are {query.dtype}; the kernels take {', '.join(map(str, DTYPES))}")
    if len(blocks) != len(plan.lengths):
        raise ValueError(f"{len(blocks)} blocks of keys were given, the plan cuts {len(plan.lengths)}")
    if query_positions is not None and all(block.key_positions is None for block in blocks):
        raise ValueError("query_positions were given, but no block has key_positions")
    for index, (block, length) in enumerate(zip(blocks, plan.lengths, strict=True)):
        key_batch, kv_heads, keys, _ = block.key.shape
        if block.value.shape != block.key.shape or block.key.shape[3] != head_dim:
            raise ValueError(f"block {index}: key, value and query do not have one head_dim and one number of keys")
        if key_batch not in (1, batch) or heads % kv_heads:
            raise ValueError(f"block {index}: batch and heads {tuple(block.key.shape[:2])} do not fit the queries'")
        if block.key.dtype != query.dtype or block.value.dtype != query.dtype:
            raise ValueError(f"block {index}: keys and values are not {query.dtype} as the queries are")
        may_be_shorter = plan.growing and index == len(blocks) - 1
        if keys > length or (keys < length and not may_be_shorter):
            raise ValueError(f"block {index}: the plan covers {length} keys, the block has {keys}")
        if block.key_positions is not None and query_positions is None:
            raise ValueError(f"block {index}: key_positions need query_positions")
        if block.key_positions is None and window is not None:
            raise ValueError(f"block {index}: a window needs key_positions")
        for name, tensor in (("key_positions", block.key_positions), ("key_mask", block.key_mask)):
            if tensor is not None and (tensor.shape[-1] != keys or tensor.stride(-1) != 1):
                raise ValueError(f"block {index}: {name} must be contiguous along {keys} keys")
            if tensor is not None and tensor.dim() == 2 and tensor.shape[0] not in (1, key_batch):
                raise ValueError(f"block {index}: {name} differs by row of the batch, but the keys are shared")
