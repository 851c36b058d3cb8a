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
    together, because they have one context, come after one another, so that it is read once; what fills more than a
    pass is cut into such as have about one length.
    """

    def __init__(
        self, lengths: Sequence[int], batch: int, seed: int, together: Sequence[Hashable | None] = (), blank: int = 0
    ) -> None:
        """Order instances.

        Args:
            lengths: of each instance, in tokens.
            batch: instances in a forward pass, of all processes.
            seed: of the draws.
            together: a key for each instance; those with an equal one belong together, and those of None alone. Empty:
                none do.
            blank: rows after the last instance, which come at the end.
        """
        pieces = _pieces(lengths, batch, together or [None] * len(lengths))
        ordered = _ordered(lengths, batch, random.Random(seed), pieces)
        self._order = (*ordered, *range(len(lengths), len(lengths) + blank))

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)


def _pieces(lengths: Sequence[int], batch: int, together: Sequence[Hashable | None]) -> list[list[int]]:
    """Instances that come after one another, at most as many as fill a forward pass."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(together):
        groups.setdefault((index,) if key is None else (key, "together"), []).append(index)
    pieces = []
    for group in groups.values():
        cut = group if len(group) <= batch else sorted(group, key=lambda index: lengths[index])
        pieces += [cut[at : at + batch] for at in range(0, len(cut), batch)]
    return pieces


def _ordered(lengths: Sequence[int], batch: int, draw: random.Random, pieces: Sequence[list[int]]) -> Iterator[int]:
    drawn = [index for piece in draw.sample(pieces, len(pieces)) for index in piece]
    places = {index: (-max(lengths[one] for one in piece), piece[0]) for piece in pieces for index in piece}
    window = batch * _WINDOW
    for start in range(0, len(drawn), window):
        chunk = sorted(drawn[start : start + window], key=places.__getitem__)
        passes = [chunk[at : at + batch] for at in range(0, len(chunk), batch)]
        # A smaller one stays last: in the middle it would move the borders of all that follow.
        last = [passes.pop()] if len(passes[-1]) < batch else []
        draw.shuffle(passes)
        yield from (index for one in (*passes, *last) for index in one)
