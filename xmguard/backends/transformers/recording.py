"""Adds up contributions and masses over forward passes, and turns the sums into a `Measurement`.

Knows nothing of what the rows are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xmguard.backends.transformers.attention import SegmentReading
from xmguard.context import SpanMap
from xmguard.measurement import Cube, Measurement


class Recording:
    """Running sums over rows of one branch, [layer, segment, head]."""

    def __init__(self) -> None:
        self._norms: Tensor | None = None
        self._masses: Tensor | None = None
        self._rows = 0

    def add(self, reading: SegmentReading, index: int) -> None:
        """Add the rows of the `index`-th measured branch of a forward pass."""
        layers = sorted(reading.norms)
        norms = torch.stack([reading.norms[layer][:, index] for layer in layers])
        masses = torch.stack([reading.masses[layer][:, index] for layer in layers])
        self._norms = norms.sum(-1) if self._norms is None else self._norms + norms.sum(-1)
        self._masses = masses.sum(-1) if self._masses is None else self._masses + masses.sum(-1)
        self._rows += norms.shape[-1]

    def measurement(self, span_map: SpanMap) -> Measurement:
        """Means over the rows so far; `rows` may be 0."""
        return Measurement(span_map, self._cube(self._norms), self._cube(self._masses), self._rows)

    def _cube(self, total: Tensor | None) -> Cube:
        if total is None:
            return ()
        # [layer, segment, head] -> [layer][head][segment]
        means = (total / self._rows).transpose(1, 2).tolist()
        return tuple(tuple(tuple(head) for head in layer) for layer in means)
