"""Which of two sources is which, and what may be pooled.

Side a is the text beside another modality, English beside another language, and what is read first beside its like. A
group is one variant in one order; where both orders are there, they are one further group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xmguard.context import ENGLISH
from xmguard.parts import TEXT
from xmguard_research.analyses.reading import Read

PLACES = ("first", "second")


@dataclass(frozen=True)
class Sides:
    """Positions of the two sources, and what they are called."""

    a: int
    b: int
    label_a: str
    label_b: str


def sides(labels: Sequence[str]) -> Sides:
    """The sides of a case, by what sets its two sources apart.

    >>> sides(["zh", "en"])
    Sides(a=1, b=0, label_a='en', label_b='zh')
    >>> sides(["en", "en"])
    Sides(a=0, b=1, label_a='en first', label_b='en second')
    """
    first, second = labels
    if first == second:
        return Sides(0, 1, *(f"{first} {place}" for place in PLACES))
    a = min((0, 1), key=lambda place: (labels[place] not in (TEXT, ENGLISH), labels[place]))
    return Sides(a, 1 - a, labels[a], labels[1 - a])


@dataclass(frozen=True)
class Group:
    """Readings whose sides mean the same."""

    name: str
    label_a: str
    label_b: str
    rows: tuple[Read, ...]

    @property
    def items(self) -> list[str]:
        """Of every row, for intervals."""
        return [case.item for case, _ in self.rows]

    def of_side(self, values: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
        """Numbers by source of every row, as columns of side a and of side b."""
        own = [sides(row.labels) for _, row in self.rows]
        return (
            [float(one[side.a]) for one, side in zip(values, own, strict=True)],
            [float(one[side.b]) for one, side in zip(values, own, strict=True)],
        )


def groups(rows: Sequence[Read]) -> list[Group]:
    """By variant, the order in which its sources are read kept apart, and then both orders together."""
    variants: dict[str, list[Read]] = {}
    both: dict[tuple[str, str], list[Read]] = {}
    for case, row in rows:
        own = sides(row.labels)
        variants.setdefault(case.variant, []).append((case, row))
        both.setdefault((own.label_a, own.label_b), []).append((case, row))
    in_order = [_group(name, own) for name, own in variants.items()]
    pooled = [
        Group(f"{a} and {b}, both orders", a, b, tuple(own))
        for (a, b), own in both.items()
        if len({case.variant for case, _ in own}) > 1
    ]
    return in_order + pooled


def _group(name: str, rows: list[Read]) -> Group:
    own = sides(rows[0][1].labels)
    if rows[0][1].labels[0] == rows[0][1].labels[1]:
        return Group(name, own.label_a, own.label_b, tuple(rows))
    a, b = (f"{label} {PLACES[place]}" for label, place in ((own.label_a, own.a), (own.label_b, own.b)))
    return Group(name, a, b, tuple(rows))
