"""In which order instances are trained on: at random, with those of about one length in the same forward pass.

Knows lengths, and which instances belong together.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterator, Sequence

from torch.utils.data import Sampler

_WINDOW = 16
"""Forward passes whose instances are sorted together."""


class LengthOrder(Sampler[int]):
    """Every instance once, in an order that a seed decides.

    A window of instances drawn at random is sorted by length and cut into forward passes, which are shuffled again: so
    little is padded, and a step's passes are still drawn from all lengths of the window. Instances that belong
    together, because they have one context, come after one another, so that it is read once.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, together: Sequence[Hashable] = ()) -> None:
        """Order instances.

        Args:
            lengths: of each instance, in tokens.
            batch: instances in a forward pass, of all processes.
            seed: of the draws.
            together: a key for each instance; those with an equal one belong together. Empty: none do.
        """
        self._order = tuple(_ordered(lengths, batch, random.Random(seed), together or range(len(lengths))))

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)


def _ordered(lengths: Sequence[int], batch: int, draw: random.Random, together: Sequence[Hashable]) -> Iterator[int]:
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(together):
        groups.setdefault(key, []).append(index)
    drawn = [index for group in draw.sample(list(groups.values()), len(groups)) for index in group]
    longest = {key: max(lengths[index] for index in group) for key, group in groups.items()}
    first = {key: group[0] for key, group in groups.items()}

    def place(index: int) -> tuple[int, int]:
        key = together[index]
        return -longest[key], first[key]

    window = batch * _WINDOW
    for start in range(0, len(drawn), window):
        chunk = sorted(drawn[start : start + window], key=place)
        passes = [chunk[at : at + batch] for at in range(0, len(chunk), batch)]
        # A smaller one stays last: in the middle it would move the borders of all that follow.
        last = [passes.pop()] if len(passes[-1]) < batch else []
        draw.shuffle(passes)
        yield from (index for one in (*passes, *last) for index in one)
