"""Measures rows that have been read: their queries were kept, and their attention is run again, cut at span borders.

A pass that only steers needs no segments, and reading them out for every decoded token costs more calls than
arithmetic. The keys that a row saw stay in the caches, so the same attention can be had later, exactly and for many
rows at once; measuring cannot change what was read. Knows nothing of sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import DynamicCache

from xmguard.attention.head_norms import contribution_norms
from xmguard.attention.segments import Segmentation
from xmguard.backends.transformers.attention import AttentionCall
from xmguard.backends.transformers.branch_reading import BranchReading, Rows, segmented
from xmguard.backends.transformers.branches import BranchBatch
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.backends.transformers.steering import Steering
from xmguard.context import SpanMap
from xmguard.measurement import Cube, Measurement

BLOCK = 32
"""Decoded tokens that are measured together: bounds the memory, and how stale a running measurement can be."""


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

    def measure(self, batch: BranchBatch, kept: Tensor, steering: Steering | None, into: Sequence[Recording]) -> None:
        """Measure what was kept and forget it.

        Args:
            batch: the caches, whose last columns are the kept steps.
            kept: the batch entries whose queries were kept, [kept].
            steering: what these are read with.
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
    calls: dict[int, AttentionCall],
    cache: DynamicCache,
    kept: Tensor,
    into: Sequence[Recording],
) -> None:
    """Add the contributions of rows to recordings.

    Args:
        loaded: the model that read them.
        rows: of the kept entries.
        calls: layer to what it asked for, with the kept entries' queries.
        cache: own keys and values of the whole batch.
        kept: the batch entries that are measured, [kept].
        into: one recording per kept entry.
    """
    norms, masses, epsilons = [], [], []
    for layer in sorted(calls):
        own = cache.layers[layer]
        call = replace(calls[layer], key=own.keys[kept], value=own.values[kept])
        states, merged, epsilon = segmented(rows, call)
        norms.append(contribution_norms(states.out, merged.weights, loaded.factors[layer]))
        masses.append(merged.weights)
        applied = torch.zeros_like(merged.weights) if epsilon is None else epsilon.expand_as(merged.weights)
        epsilons.append(applied)
    # [layer, segment, batch, head, query]
    stacked = [torch.stack(parts) for parts in (norms, masses, epsilons)]
    for index, recording in enumerate(into):
        recording.add(*(part[:, :, index] for part in stacked))


def _plus(total: Tensor | None, rows: Tensor) -> Tensor:
    """[layer, segment, head, query] added up over the rows."""
    return rows.sum(-1) if total is None else total + rows.sum(-1)
