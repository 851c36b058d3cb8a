"""Position effect: is the span that stands first followed because it stands first?

Source: the paper, section 3 (primacy bias). The formula is ours: every item runs in both orders, so that a preference
for what a span says adds as much to first as to second, and cancels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from xmguard_research.metrics.columns import require_equal_lengths

Place = Literal["first", "second"]


@dataclass(frozen=True)
class PositionEffect:
    """Counts of items by what both orders make of them, and of answers by the place they follow."""

    first: int
    """Answers, over both orders, that follow the span that stands first."""
    second: int
    neither: int
    primacy: int
    """Items whose answers follow the first place in both orders."""
    recency: int
    """Items whose answers follow the second place in both orders."""
    content: int
    """Items whose answers follow the same span in both orders."""

    @property
    def effect(self) -> float | None:
        """(first - second) / (first + second), in [-1, 1]; above 0 is primacy, below 0 recency. None if both are 0."""
        followed = self.first + self.second
        return (self.first - self.second) / followed if followed else None


def position_effect(forward: Sequence[Place | None], swapped: Sequence[Place | None]) -> PositionEffect:
    """Which place each item's answer follows in one order of its spans and in the other.

    Args:
        forward: of each item in the order as it is; None where the answer follows neither span or both.
        swapped: of the same items with their spans swapped.

    Raises:
        ValueError: the columns have different lengths, or a place is unknown.

    >>> found = position_effect(["first", "first", "second", None], ["first", "second", "second", "first"])
    >>> found.effect, found.primacy, found.recency, found.content
    (0.14285714285714285, 1, 1, 1)
    """
    require_equal_lengths(forward=forward, swapped=swapped)
    answers = Counter([*forward, *swapped])
    if unknown := [place for place in answers if place not in ("first", "second", None)]:
        raise ValueError(f"{unknown[0]!r} is no place; give 'first', 'second' or None")
    items = Counter(zip(forward, swapped, strict=True))
    return PositionEffect(
        first=answers["first"],
        second=answers["second"],
        neither=answers[None],
        primacy=items["first", "first"],
        recency=items["second", "second"],
        content=items["first", "second"] + items["second", "first"],
    )
