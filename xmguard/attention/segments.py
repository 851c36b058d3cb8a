"""How a block of keys is cut into segments. Segment 0 is the rest; segment k + 1 is span k.

Pure integers: no tensors, no names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

REST = 0
"""Index of the segment that holds every key outside the spans."""


@dataclass(frozen=True)
class Piece:
    """A contiguous, half-open run of keys that belong to one segment."""

    start: int
    stop: int
    segment: int


@dataclass(frozen=True)
class Segmentation:
    """Pieces that cover keys 0 .. length - 1 exactly once, in order."""

    pieces: tuple[Piece, ...]
    segments: int
    """Number of segments, the rest included. A segment may have no piece (an empty span)."""

    @property
    def length(self) -> int:
        """How many keys are covered."""
        return self.pieces[-1].stop if self.pieces else 0

    @classmethod
    def from_spans(cls, spans: Iterable[tuple[int, int]], length: int) -> Segmentation:
        """Cut `length` keys at the half-open ranges `spans`, which are ordered and do not overlap; they may be empty.

        Raises:
            ValueError: if the ranges are out of order, overlap, or reach past `length`.
        """
        pieces: list[Piece] = []
        end = 0
        count = 0
        for count, (start, stop) in enumerate(spans, start=1):
            if not end <= start <= stop <= length:
                raise ValueError(f"span {count - 1} at {start}:{stop} is out of order, overlaps or leaves 0:{length}")
            if end < start:
                pieces.append(Piece(end, start, REST))
            if start < stop:
                pieces.append(Piece(start, stop, count))
            end = stop
        if end < length:
            pieces.append(Piece(end, length, REST))
        return cls(tuple(pieces), count + 1)

    def truncated(self, length: int) -> Segmentation:
        """The same cut of the first `length` keys only."""
        kept = tuple(
            Piece(piece.start, min(piece.stop, length), piece.segment) for piece in self.pieces if piece.start < length
        )
        return Segmentation(kept, self.segments)
