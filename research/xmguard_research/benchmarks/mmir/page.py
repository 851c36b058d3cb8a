"""What a page is made of: values, elements that say or show them, and relations that must hold between two elements.

Values only. Knows no kind of page and draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

CATEGORIES = ("factual", "identity", "contextual", "quantitative", "temporal-spatial")
Values = Mapping[str, Any]
"""What the elements of a page say or show, by name; a value that two elements state has two names."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom; units of a page that is 224 wide and high."""


@dataclass(frozen=True)
class Element:
    """A part of a page."""

    name: str
    says: str
    """Its text; of what is drawn, what it is: `the picture`."""
    box: Box
    drawn: str = "text"
    """`text`, `banner` (text on a bar), `picture`, `chart` or `arrow`."""
    shows: Sequence[Any] = ()
    """Of a picture a thing and how many, of a chart its values, of an arrow its direction."""


@dataclass(frozen=True)
class Relation:
    """Two elements that go together."""

    category: str
    first: str
    second: str
    """Names of elements."""
    holds: Callable[[Values], bool]
    broken: Callable[[Values, Random], Mapping[str, Any]]
    """Values to change so that it does not hold, and every other relation still does."""
    cues: Callable[[Values], tuple[Sequence[str], Sequence[str]]]
    """Words by which a response can name the first element, and the second."""


@dataclass(frozen=True)
class Kind:
    """A kind of page."""

    name: str
    propose: Callable[[Random], Values]
    """Values of a page on which everything fits."""
    elements: Callable[[Values], list[Element]]
    relations: Sequence[Relation]


@dataclass(frozen=True)
class Page:
    """A page."""

    id: str
    kind: Kind
    values: Values
    broken: Relation | None
    """What does not hold; None where everything fits."""
    look: str
    """Seed of colours and typeface; the same for a page and its control."""

    @property
    def elements(self) -> list[Element]:
        """In the order of their numbers, which begin with 1."""
        return self.kind.elements(self.values)

    def number(self, name: str) -> int:
        """Of an element."""
        return [one.name for one in self.elements].index(name) + 1


@dataclass(frozen=True)
class Item:
    """A page with two elements that do not fit together, and the same page without that."""

    id: str
    relation: Relation
    inconsistent: Page
    control: Page


def items(kinds: Sequence[Kind], per_relation: int, *, seed: int) -> list[Item]:
    """So many of each relation of each kind."""
    made = []
    for kind in kinds:
        for which, relation in enumerate(kind.relations):
            for number in range(per_relation):
                id_ = f"{kind.name}-{relation.category}-{which}-{number}"
                look = f"mmir/{seed}/{id_}"
                random = Random(look)
                values = kind.propose(random)
                control = Page(f"{id_}/control", kind, values, None, look)
                changed = {**values, **relation.broken(values, random)}
                page = replace(control, id=f"{id_}/inconsistent", values=changed, broken=relation)
                made.append(Item(id_, relation, page, control))
    return made


def other(domain: Sequence[Any], *values: Any) -> Callable[[Random], Any]:
    """Draws another value of a domain."""
    left = [one for one in domain if one not in values]
    return lambda random: random.choice(left)
