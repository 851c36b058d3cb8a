"""Items: a shape with one colour in a picture and another in a text, both in three tiers of difficulty.

Values only: what stands where in a picture is drawn by `pictures`. Knows no prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from xmguard_research.scenes.concepts import COLOURS, NAMES, SHAPES

TIERS = ("easy", "medium", "hard")
SIDE = 224
"""Units of a picture's width and height."""
_GRID = 5


class Drawn(NamedTuple):
    """A shape in a picture, in units."""

    shape: str
    colour: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Look:
    """How hard a picture is to read."""

    size: float
    """Of every shape, units."""
    others: int
    """Other shapes beside the one that is asked for."""
    noise: float
    """Share of coloured noise in every pixel."""


LOOKS: Mapping[str, Look] = {
    "easy": Look(120, 0, 0.0),
    "medium": Look(40, 6, 0.15),
    "hard": Look(24, 14, 0.35),
}
HOPS: Mapping[str, int] = {"easy": 0, "medium": 1, "hard": 2}
"""Sentences between the shape and its colour; as many others name another colour."""


@dataclass(frozen=True)
class Item:
    """One shape and its two colours. Everything of an item has these in common."""

    id: str
    seed: str
    shape: str
    colours: tuple[str, str]
    """In the picture, in the text."""

    @property
    def question(self) -> str:
        """Asks for the colour."""
        return f"What colour is the {self.shape}? Answer with one word."

    def shown(self, tier: str) -> list[Drawn]:
        """What is in the picture of a tier: the shape that is asked for, and others of other kinds and colours."""
        look, random = LOOKS[tier], Random(f"{self.seed}/picture/{tier}")
        if not look.others:
            return [Drawn(self.shape, self.colours[0], SIDE / 2, SIDE / 2, look.size)]
        cells = random.sample([(x, y) for x in range(_GRID) for y in range(_GRID)], look.others + 1)
        step = SIDE / _GRID
        kinds = [shape for shape in SHAPES if shape != self.shape]
        made = [(self.shape, self.colours[0])]
        made += [(random.choice(kinds), random.choice(self._other_colours)) for _ in range(look.others)]
        return [
            Drawn(shape, colour, round((x + 0.5) * step, 1), round((y + 0.5) * step, 1), look.size)
            for (shape, colour), (x, y) in zip(made, cells, strict=True)
        ]

    def told(self, tier: str, colour: str) -> str:
        """The text of a tier that gives the shape this colour."""
        random = Random(f"{self.seed}/text/{tier}")
        one, other, third = random.sample(NAMES, 3)
        near, far = random.sample(self._other_colours, 2)
        if HOPS[tier] == 0:
            return random.choice((f"The {self.shape} is {colour}.", f"The colour of the {self.shape} is {colour}."))
        first = f"The {self.shape} has the colour of {one}'s bag."
        if HOPS[tier] == 1:
            rest = [f"{one}'s bag is {colour}.", f"{other}'s bag is {near}."]
        else:
            rest = [
                f"{one}'s bag has the colour of {other}'s hat.",
                f"{other}'s hat is {colour}.",
                f"{third}'s hat is {near}.",
                f"{one}'s coat is {far}.",
            ]
        random.shuffle(rest)
        return " ".join([first, *rest])

    @property
    def _other_colours(self) -> list[str]:
        """Neither of the two that are asked for, so that nothing but the shape itself speaks for one of them."""
        return [colour for colour in COLOURS if colour not in self.colours]


def items(count: int, *, seed: int) -> list[Item]:
    """So many; the first ones are the same for any number."""
    made = []
    for number in range(count):
        own = f"modality-conflict/{seed}/{number}"
        random = Random(own)
        first, second = random.sample(tuple(COLOURS), 2)
        made.append(Item(f"item-{number:02d}", own, random.choice(SHAPES), (first, second)))
    return made
