"""In which order instances are trained on: at random, with those of about one length in the same forward pass.

Knows lengths only.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

_WINDOW = 16
"""Forward passes whose instances are sorted together."""


class LengthOrder(Sampler[int]):
    """Every instance once, in an order that a seed decides.

    A window of instances drawn at random is sorted by length and cut into forward passes, which are shuffled again: so
    little is padded, and a step's passes are still drawn from all lengths of the window.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        """`lengths` in tokens, `batch` instances in a forward pass (of all processes)."""
        self._lengths = lengths
        self._batch = batch
        self._seed = seed

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        draw = random.Random(self._seed)
        order = draw.sample(range(len(self)), len(self))
        window = self._batch * _WINDOW
        for first in range(0, len(order), window):
            chunk = sorted(order[first : first + window], key=lambda index: (-self._lengths[index], index))
            passes = [chunk[at : at + self._batch] for at in range(0, len(chunk), self._batch)]
            full, rest = [one for one in passes if len(one) == self._batch], passes[-1]
            draw.shuffle(full)
            for one in full:
                yield from one
            if len(rest) < self._batch:
                yield from rest
