"""Rows of a batch read once more, over keys in pages: with their bias, cut at span borders, and measured.

vLLM's own attention runs for the whole batch first; what is read here takes the place of the rows that have a bias.
Knows nothing of how a request came to its rows.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from xmguard.attention.head_norms import contribution_norms
from xmguard.attention.segments import Segmentation
from xmguard.attention.split_merge import Partial, attend, collect, merge
from xmguard.backends.vllm.worker.layer_call import LayerCall
from xmguard.backends.vllm.worker.readings import Chunk


def serve(call: LayerCall, chunk: Chunk) -> None:
    """Read the rows of one request that need it; write those that have a bias, add up those that are measured."""
    reader = chunk.reader
    first = chunk.first_read
    if first >= chunk.stop:
        return
    rows = slice(chunk.row_of(first), chunk.row_of(chunk.stop))
    query = call.query[rows].transpose(0, 1).unsqueeze(0)
    positions = torch.arange(first, chunk.stop)
    states = collect(_partials(call, chunk, query, positions), len(reader.spec.span_map) + 1, like=query)
    epsilon = None
    if reader.steering is not None:
        epsilon = reader.steering.epsilon(call.layer, states.lse, positions, call.sinks)
    merged = merge(states, epsilon, call.sinks)
    if reader.steering is not None and (steered := max(first, reader.steered_from)) < chunk.stop:
        target = call.output[chunk.row_of(steered) : chunk.row_of(chunk.stop)]
        target.copy_(merged.output[0, :, steered - first :].transpose(0, 1))
    for totals, start, stop in chunk.counted:
        own = slice(start - first, stop - first)
        out, weights = states.out[:, :, :, own], merged.weights[..., own]
        norms = contribution_norms(out, weights, reader.factors.get(call.layer, call.factors))
        applied = torch.zeros_like(weights) if epsilon is None else epsilon[..., own]
        totals.add(call.layer, norms[:, 0], weights[:, 0], applied[:, 0])


def _partials(call: LayerCall, chunk: Chunk, query: Tensor, positions: Tensor) -> list[Partial]:
    """What the rows read of every piece of the keys before them, and of their own."""
    first, last = int(positions[0]), int(positions[-1])
    oldest = 0 if call.window is None else max(0, first - call.window + 1)
    key, value = _keys(call, chunk, oldest)
    # A row sees all keys before the first row, unless a window hides some; only the rest needs positions.
    seen_whole = call.window is None or last - call.window < oldest
    borders = [oldest, first + 1, chunk.stop] if seen_whole else [oldest, chunk.stop]
    partials: list[Partial] = []
    for number, (start, stop) in enumerate(pairwise(borders)):
        if start >= stop:
            continue
        whole = number == 0 and seen_whole
        keys = slice(start - oldest, stop - oldest)
        partials += attend(
            query,
            key[:, :, keys],
            value[:, :, keys],
            segmentation=_cut(chunk, start, stop),
            scaling=call.scaling,
            query_positions=None if whole else positions,
            key_positions=None if whole else torch.arange(start, stop),
            window=None if whole else call.window,
            soft_cap=call.soft_cap,
        )
    return partials


def _cut(chunk: Chunk, start: int, stop: int) -> Segmentation:
    """How the keys at positions start .. stop - 1 are cut."""
    spans = chunk.reader.spec.span_map
    clipped = [(min(max(span.start, start), stop) - start, min(max(span.stop, start), stop) - start) for span in spans]
    return Segmentation.from_spans(clipped, stop - start)


def _keys(call: LayerCall, chunk: Chunk, oldest: int) -> tuple[Tensor, Tensor]:
    """Keys and values at the positions from `oldest` to the chunk's end, [1, kv_head, key, head_dim]."""
    size = call.layout.key.size
    first = oldest // size
    blocks = call.block_table[chunk.index, first : -(-chunk.stop // size)].long()
    keys = slice(oldest - first * size, chunk.stop - first * size)
    key = call.layout.key.pages(call.key_cache[blocks].unsqueeze(0))[:, :, keys]
    value = call.layout.value.pages(call.value_cache[blocks].unsqueeze(0))[:, :, keys]
    return key, value
