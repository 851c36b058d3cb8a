"""Measures rows that have been read: their queries were kept, and their attention is run again, cut at span borders.

A pass that only steers needs no segments, and reading them out for every decoded token costs more calls than
arithmetic. The keys that a row saw stay in the caches, so the same attention can be had later, exactly and for many
rows at once; measuring cannot change what was read. Knows nothing of sampling.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import DynamicCache

from xmguard.attention.head_norms import contribution_norms
from xmguard.attention.segments import Segmentation
from xmguard.backends.transformers.answer_adapter import Adapted
from xmguard.backends.transformers.attention import AttentionCall
from xmguard.backends.transformers.branch_reading import BranchReading, segmented_layers
from xmguard.backends.transformers.branches import BranchBatch
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.backends.transformers.rows import Rows
from xmguard.backends.transformers.steering import Steering
from xmguard.context import SpanMap
from xmguard.contracts import Branch
from xmguard.measurement import Cube, Measurement

BLOCK = 32
"""Decoded tokens that are measured together: bounds the memory, and how stale a running measurement can be."""
AT_ONCE = 1 << 18
"""Numbers per tensor when layers are measured together: small enough for the cache, large enough to save calls."""


class Recording:
    """Running sums over rows of one branch, [layer, segment, head]."""

    def __init__(self) -> None:
        self._norms: Tensor | None = None
        self._masses: Tensor | None = None
        self._epsilons: Tensor | None = None
        self._rows = 0

    def add(self, norms: Tensor, masses: Tensor, epsilons: Tensor) -> None:
        """Add rows: ||u_k||, attention masses and epsilons in nats, each [layer, segment, head, query]."""
        self._norms = _plus(self._norms, norms)
        self._masses = _plus(self._masses, masses)
        self._epsilons = _plus(self._epsilons, epsilons)
        self._rows += norms.shape[-1]

    def measurement(self, span_map: SpanMap) -> Measurement:
        """Means over the rows so far; `rows` may be 0."""
        norms, masses, epsilons = map(self._cube, (self._norms, self._masses, self._epsilons))
        return Measurement(span_map, norms, masses, self._rows, epsilons)

    def _cube(self, total: Tensor | None) -> Cube:
        if total is None:
            return ()
        # [layer, segment, head] -> [layer][head][segment]
        means = (total / self._rows).transpose(1, 2).tolist()
        return tuple(tuple(tuple(head) for head in layer) for layer in means)


class StepRecorder:
    """Keeps the queries of decoding steps of one batch until they are measured, a block at a time.

    A batch that loses a branch is measured before it does.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._steps: list[dict[int, AttentionCall]] = []

    @property
    def is_full(self) -> bool:
        """Whether a block is kept."""
        return len(self._steps) >= BLOCK

    def keep(self, reading: BranchReading) -> None:
        """Keep the queries of one step."""
        self._steps.append(reading.calls)

    def measure(
        self,
        batch: BranchBatch,
        kept: Tensor,
        steering: Steering | None,
        adapted: Adapted | None,
        into: Sequence[Recording],
    ) -> None:
        """Measure what was kept and forget it.

        Args:
            batch: the caches, whose last columns are the kept steps.
            kept: the batch entries whose queries were kept, [kept].
            steering: what these are read with.
            adapted: those of these that an answer adapter acts on.
            into: one per kept entry.
        """
        steps = len(self._steps)
        if not steps:
            return
        key_mask = batch.key_mask(0)
        rows = Rows(
            segments=batch.context.segmentation.segments,
            own=Segmentation.from_spans([], batch.width),
            context=batch.context,
            positions=batch.positions[kept].unsqueeze(-1) + torch.arange(-steps, 0, device=kept.device),
            own_start=batch.own_start[kept],
            key_mask=None if key_mask is None else key_mask[kept],
            steering=steering,
            adapted=adapted,
        )
        calls = {
            layer: replace(first, query=torch.cat([step[layer].query for step in self._steps], dim=2))
            for layer, first in self._steps[0].items()
        }
        measure(self._loaded, rows, calls, batch.cache, kept, into)
        self._steps.clear()


@torch.inference_mode()
def measure(
    loaded: LoadedModel,
    rows: Rows,
    calls: Mapping[int, AttentionCall],
    cache: DynamicCache,
    kept: Tensor,
    into: Sequence[Recording],
) -> None:
    """Add the contributions of rows to recordings.

    Args:
        loaded: the model that read them.
        rows: of the kept entries.
        calls: layer to what it asked for, with the kept entries' queries.
        cache: own keys and values of the whole batch; those of the rows come first.
        kept: the batch entries that are measured, [kept].
        into: one recording per kept entry.
    """
    layers = sorted(calls)
    length = rows.own.length
    parts = []
    at_once = max(1, AT_ONCE // (rows.segments * calls[layers[0]].query.numel()))
    for first in range(0, len(layers), at_once):
        asked = []
        for layer in layers[first : first + at_once]:
            own = cache.layers[layer]
            key, value = own.keys[kept, :, :length], own.values[kept, :, :length]
            asked.append(replace(calls[layer], key=key, value=value))
        parts.append(_measured(loaded, rows, asked))
    norms, masses, epsilons = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    for index, recording in enumerate(into):
        recording.add(norms[:, :, index], masses[:, :, index], epsilons[:, :, index])


def _measured(loaded: LoadedModel, rows: Rows, calls: Sequence[AttentionCall]) -> tuple[Tensor, Tensor, Tensor]:
    """Norms, masses and epsilons of several layers, each [layer, segment, batch, head, query]."""
    states, merged, epsilon = segmented_layers(rows, calls)
    # [segment, layer * batch, ...] -> [layer, segment, batch, ...]
    outs, weights = (_by_layer(tensor, len(calls)) for tensor in (states.out, merged.weights))
    norms = torch.stack(
        [
            contribution_norms(out, weight, _factors(loaded, rows, call.layer))
            for call, out, weight in zip(calls, outs, weights, strict=True)
        ]
    )
    return norms, weights, torch.zeros_like(weights) if epsilon is None else _by_layer(epsilon, len(calls))


def _factors(loaded: LoadedModel, rows: Rows, layer: int) -> Tensor:
    """R_h of a layer, or one for each entry of the batch."""
    factors = loaded.factors[layer]
    return factors if rows.adapted is None else rows.adapted.factors(layer, factors)


def _by_layer(tensor: Tensor, layers: int) -> Tensor:
    return tensor.reshape(tensor.shape[0], layers, -1, *tensor.shape[2:]).transpose(0, 1)


def _plus(total: Tensor | None, rows: Tensor) -> Tensor:
    """[layer, segment, head, query] added up over the rows."""
    return rows.sum(-1) if total is None else total + rows.sum(-1)


def measured_rows(branches: Sequence[Branch], device: torch.device) -> Tensor | None:
    """Indices of the branches whose contributions are recorded, [measured]; None if there are none."""
    measured = [row for row, branch in enumerate(branches) if branch.measured]
    return torch.tensor(measured, device=device) if measured else None
