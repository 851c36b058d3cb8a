"""Cases: a question over sources, and whether these contradict each other. What every conflict suite is made of.

Values only. Knows no prompt, no model and no judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, TypeVar

from xmguard import Span
from xmguard.parts import IMAGE, TEXT


@dataclass(frozen=True)
class Case:
    """A question over sources, in the order in which they are read."""

    id: str
    """Unique in its suite."""
    item: str
    """What it is a variant of: cases of one item stay together in folds and bootstrap draws."""
    variant: str
    """Which modalities or languages meet, in their order: `en-zh`, `text-image`."""
    question: str
    spans: tuple[Span, ...]
    """With the ids `s1`, `s2`, ..."""
    conflict: bool
    answers: tuple[str, ...]
    """What each source answers."""

    @property
    def crosses_modalities(self) -> bool:
        """Whether the sources are of different modalities; of different languages is not enough."""
        return len({_family(span) for span in self.spans}) > 1

    @property
    def is_scene(self) -> bool:
        """Whether the sources show or describe a scene: one of them is no text, or the variant names modalities."""
        return any(span.media is not None for span in self.spans) or set(self.variant.split("-")) <= {TEXT, IMAGE}


class OfAnItem(Protocol):
    """A case, or a probe."""

    @property
    def item(self) -> str:
        """What it is a variant of."""
        ...


T = TypeVar("T", bound=OfAnItem)


def whole_items(every: Iterable[T], count: int | None) -> list[T]:
    """Everything of so many items, in its order; None takes all items.

    Items are drawn by the hash of their names: the same ones each time, and more add to fewer. Twins stay together.
    """
    found = list(every)
    if count is None:
        return found
    names = sorted({one.item for one in found}, key=lambda name: sha256(name.encode()).digest())
    chosen = set(names[:count])
    return [one for one in found if one.item in chosen]


def _family(span: Span) -> str:
    return TEXT if span.media is None else span.media.media_type.split("/")[0]
