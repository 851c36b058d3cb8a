"""Every row of a step read by the compiled kernel, all requests of a layer in one call.

The same results as `overlay.serve`, request by request. What is the same for all layers of a step is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmguard.attention.segments import Segmentation
from xmguard.backends.vllm.worker import kernel
from xmguard.backends.vllm.worker.layer_call import LayerCall
from xmguard.backends.vllm.worker.layout import Layout
from xmguard.backends.vllm.worker.readings import NEVER, Chunk, Step
from xmguard.backends.vllm.worker.steering import Steering
from xmguard.backends.vllm.worker.sums import Totals

TILE = 8
"""Rows of a request that read a block of keys together."""
STATES = 1 << 23
"""Numbers held of rows that are read together: 32 MiB."""

_Numbers = NDArray[np.float32]
_Integers = NDArray[np.int64]


def order_of(layout: Layout, dtype: torch.dtype) -> int | None:
    """How the kernel reads a cache of this layout; None if it cannot."""
    size = layout.key.size
    keys, values = layout.key.places.view(size, -1), layout.value.places.view(size, -1)
    tokens, dims = torch.arange(size).view(-1, 1), torch.arange(keys.shape[1])
    width = len(dims)
    if size % kernel.LANES or width % kernel.LANES:
        return None
    if torch.equal(keys, dims * size + tokens) and torch.equal(values, tokens * width + dims):
        return {torch.float32: kernel.DIRECT, torch.bfloat16: kernel.HALVES}.get(dtype)
    paired_keys = tokens // 16 * 16 * width + dims // 2 * 32 + tokens % 16 * 2 + dims % 2
    paired_values = dims // 16 * 16 * size + tokens // 2 * 32 + dims % 16 * 2 + tokens % 2
    if dtype == torch.bfloat16 and torch.equal(keys, paired_keys) and torch.equal(values, paired_values):
        return kernel.PAIRS
    return None


@dataclass(frozen=True)
class _Part:
    """Rows that are read together, as the kernel takes them."""

    tiles: _Integers
    rows: _Integers
    solved: tuple[tuple[int, slice, Tensor], ...]
    """Number of a reading whose epsilons follow shares, its rows here, and their positions."""


@dataclass
class _Plan:
    """What is read in a step, for all of its layers."""

    chunks: tuple[Chunk, ...]
    segments: int
    parts: list[_Part]
    pieces: _Integers
    firsts: _Integers
    constants: _Numbers
    counted: list[Totals]
    """What is summed at which place."""
    sums: NDArray[np.float64]
    """Norms, masses and epsilons, [layer, place, 3, segment, head]."""
    per_head: list[tuple[int, Steering]] = field(default_factory=list)
    """Readings whose constants have head factors, by their numbers."""

    def settle(self) -> None:
        """Every layer has been read: what was measured goes to the requests it was measured of."""
        for place, totals in enumerate(self.counted):
            totals.add_sums(torch.from_numpy(self.sums[:, place]).transpose(0, 1))


class CompiledPath:
    """Satisfies `paths.Path`.

    Args:
        order: of the caches (`order_of`).
        layers: of the model.
    """

    def __init__(self, order: int, layers: int) -> None:
        self._order = order
        self._layers = layers
        self._plan: _Plan | None = None
        self._caches: dict[int, tuple[int, tuple[Any, ...], _Integers]] = {}
        self._factors: dict[tuple[int, ...], tuple[Sequence[Tensor], _Numbers]] = {}

    def __call__(self, call: LayerCall, step: Step, fail: Callable[[Chunk, Exception], None]) -> None:
        """Read the rows that need it; write those that have a bias, keep what is measured of the others."""
        _, heads, dim = call.query.shape
        chunks = step.chunks
        if self._plan is None or self._plan.chunks is not chunks:
            self._plan = _planned(chunks, heads * dim)
            self._plan.sums = np.zeros((self._layers, len(self._plan.counted), 3, self._plan.segments, heads))
            step.settled.append(self._plan.settle)
        plan = self._plan
        caches, strides = self._cache(call)
        query, query_stride = _flat(call.query.float())
        tables = np.ascontiguousarray(call.block_table.numpy(), dtype=np.int32)
        factors, which = self._projections(call, chunks)
        head_factors = np.ones((len(chunks), heads), np.float32)
        for number, steering in plan.per_head:
            head_factors[number] = steering.head_factors(call.layer).numpy()
        sinks = np.empty(0, np.float32) if call.sinks is None else call.sinks.float().numpy()
        written = call.output if call.output.dtype == torch.float32 else torch.empty(call.output.shape)
        output, output_stride = _flat(written)
        for part in plan.parts:
            count = len(part.rows)
            out = np.empty((count, heads, plan.segments, dim), np.float32)
            lse = np.empty((count, heads, plan.segments), np.float32)
            kernel.states(
                *caches,
                self._order,
                strides,
                tables,
                query,
                query_stride,
                part.tiles,
                plan.pieces,
                call.window or 0,
                call.scaling,
                call.soft_cap or 0.0,
                call.key_cache.shape[1],
                int(part.tiles[:, 3].max()),
                out,
                lse,
            )
            epsilon = np.zeros_like(lse)
            own = part.rows if which is None else _with_factors(part.rows, which)
            for number, rows, positions in part.solved:
                try:
                    epsilon[rows] = _solved(call, chunks[number], lse[rows], positions)
                except Exception as error:  # that request's own, which is not to be read without its bias
                    fail(chunks[number], error)
                    own = own.copy()
                    own[rows, 2:4] = -1
            kernel.merge(
                out, lse, epsilon, own, plan.firsts, plan.constants, head_factors, sinks, factors, output,
                output_stride, plan.sums[call.layer],
            )  # fmt: skip
            if written is not call.output:
                targets = torch.from_numpy(own[:, 2])
                targets = targets[targets >= 0]
                call.output[targets] = written[targets].to(call.output.dtype)

    def _cache(self, call: LayerCall) -> tuple[tuple[Any, ...], _Integers]:
        """The layer's cache as the kernel takes it, and its strides."""
        key, value = call.key_cache, call.value_cache
        known = self._caches.get(call.layer)
        if known is not None and known[0] == key.data_ptr():
            return known[1:]
        size, dim = call.layout.key.size, call.query.shape[2]
        offset = value.storage_offset() - key.storage_offset()
        strides = (key.stride(0), key.stride(1), offset, size)
        extent = (key.shape[0] - 1) * strides[0] + (key.shape[1] - 1) * strides[1] + offset + size * dim
        flat = key.as_strided((extent,), (1,))
        floats, halves = np.empty(0, np.float32), np.empty(0, np.uint16)
        if self._order == kernel.DIRECT:
            floats = flat.numpy()
        else:
            halves = flat.view(torch.int16).numpy().view(np.uint16)
        caches = (floats, halves, halves[: len(halves) // 2 * 2].view(np.uint32))
        self._caches[call.layer] = (key.data_ptr(), caches, np.array(strides))
        return self._caches[call.layer][1:]

    def _projections(self, call: LayerCall, chunks: Sequence[Chunk]) -> tuple[_Numbers, _Integers | None]:
        """R_h transposed of every reading's output projection, [place, head, head_dim, rank].

        Returns:
            They, and the place of each reading's; None where there is but one.
        """
        found = {id(factors): factors for factors in (_factors(call, chunk) for chunk in chunks)}
        if (known := self._factors.get(tuple(found))) is None:
            kept = list(found.values())
            stacked = torch.stack([factors.transpose(1, 2) for factors in kept]).float().contiguous()
            # The tensors are kept, so that no other comes to have the id of one of them.
            known = self._factors[tuple(found)] = (kept, stacked.numpy())
        places = None
        if len(found) > 1:
            order = list(found)
            places = np.array([order.index(id(_factors(call, chunk))) for chunk in chunks])
        return known[1], places


def _factors(call: LayerCall, chunk: Chunk) -> Tensor:
    return chunk.reader.factors.get(call.layer, call.factors)


def _with_factors(rows: _Integers, which: _Integers) -> _Integers:
    rows = rows.copy()
    rows[:, 4] = which[rows[:, 0]]
    return rows


def _solved(call: LayerCall, chunk: Chunk, lse: _Numbers, positions: Tensor) -> _Numbers:
    """Epsilons of rows that follow shares, [row, head, segment], as `lse`."""
    assert chunk.reader.steering is not None
    own = len(chunk.reader.spec.span_map) + 1
    states = torch.from_numpy(lse[:, :, :own]).permute(2, 1, 0).unsqueeze(1)  # [segment, 1, head, row]
    epsilon = np.zeros_like(lse)
    epsilon[:, :, :own] = chunk.reader.steering.epsilon(call.layer, states, positions, call.sinks)[:, 0].permute(
        2, 1, 0
    )
    return epsilon


def _flat(rows: Tensor) -> tuple[_Numbers, int]:
    """[row, head, dim] as it lies in memory, and the numbers from row to row."""
    count, heads, dim = rows.shape
    if rows.stride()[1:] != (dim, 1):
        raise ValueError(f"heads of a row lie {rows.stride()[1:]} apart")
    flat: _Numbers = rows.as_strided(((count - 1) * rows.stride(0) + heads * dim,), (1,)).numpy()
    return flat, rows.stride(0)


def _planned(chunks: tuple[Chunk, ...], width: int) -> _Plan:
    """`width`: numbers of a row's query."""
    segments = max(len(chunk.reader.spec.span_map) + 1 for chunk in chunks)
    most = max(TILE, STATES // (segments * width))
    plan = _Plan(
        chunks,
        segments,
        [],
        np.empty(0, np.int64),
        np.full((len(chunks), segments), NEVER),
        np.zeros((len(chunks), segments), np.float32),
        [],
        np.empty(0),
    )
    pieces: list[tuple[int, int, int]] = []
    tiles: list[tuple[int, ...]] = []
    rows: list[_Integers] = []
    solved: list[tuple[int, slice, Tensor]] = []
    held = 0

    def close() -> None:
        nonlocal held
        if held:
            plan.parts.append(_Part(np.array(tiles), np.concatenate(rows), tuple(solved)))
        for held_one in (tiles, rows, solved):
            held_one.clear()
        held = 0

    for number, chunk in enumerate(chunks):
        spans = [(span.start, span.stop) for span in chunk.reader.spec.span_map]
        cut = Segmentation.from_spans(spans, NEVER).pieces
        first_piece = len(pieces)
        pieces += [(piece.start, piece.stop, piece.segment) for piece in cut]
        steering = chunk.reader.steering
        if steering is not None and not steering.follows_shares:
            constants, firsts = steering.constants
            plan.constants[number, : len(constants)] = constants.numpy()
            plan.firsts[number, : len(firsts)] = firsts.numpy()
            if steering.has_head_factors:
                plan.per_head.append((number, steering))
        own = _rows(chunk, number, len(plan.counted))
        plan.counted += [totals for totals, _, _ in chunk.counted]
        begin = chunk.first_read
        while begin < chunk.stop:
            if held >= most:
                close()
            end = min(chunk.stop, begin + most - held)
            rows.append(own[begin - chunk.first_read : end - chunk.first_read])
            tiles += [
                (chunk.index, chunk.row_of(at), held + at - begin, min(TILE, end - at), at, first_piece, len(pieces))
                for at in range(begin, end, TILE)
            ]
            if steering is not None and steering.follows_shares:
                solved.append((number, slice(held, held + end - begin), torch.arange(begin, end)))
            held += end - begin
            begin = end
    close()
    plan.pieces = np.array(pieces)
    return plan


def _rows(chunk: Chunk, number: int, places: int) -> _Integers:
    """The rows of a chunk that are read, as `kernel.merge` takes them; `places`: the first of its sums."""
    reader = chunk.reader
    positions = np.arange(chunk.first_read, chunk.stop)
    rows = np.zeros((len(positions), 7), np.int64)
    rows[:, 0] = number
    rows[:, 1] = positions
    rows[:, 2] = np.where(positions >= reader.steered_from, chunk.row_of(0) + positions, -1)
    rows[:, 3] = -1
    for place, (_, start, stop) in enumerate(chunk.counted, start=places):
        rows[(positions >= start) & (positions < stop), 3] = place
    rows[:, 5] = reader.steering is not None and reader.steering.follows_shares
    rows[:, 6] = len(reader.spec.span_map) + 1
    return rows
