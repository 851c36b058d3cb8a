"""What every yardstick is made of: two sources, a question, and whether they answer it differently.

Knows no data set, and of a picture only what determines it and how to get it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Protocol

from xmguard.parts import IMAGE, TEXT


class Label(Enum):
    """What is true of a pair."""

    CONFLICT = "conflict"
    CONSISTENT = "consistent"
    UNDETERMINED = "undetermined"
    """At least one source says nothing about the question."""


class Picture(Protocol):
    """A picture that is drawn when it is asked for, the same bytes each time."""

    @property
    def spec(self) -> str:
        """Everything that determines it, spelled out."""
        ...

    def png(self) -> bytes:
        """The picture as a PNG file.

        Raises:
            SetupIncomplete: what it is drawn with is not on this machine.
        """
        ...


@dataclass(frozen=True)
class Pair:
    """Two sources about a question, in the order in which they are read: texts, or a picture at a place.

    Raises:
        ValueError: both a text and a picture stand at one place.
    """

    key: str
    """Identifies the pair among all yardsticks."""
    item: str
    """What it is drawn from: pairs of one item stay together in folds and bootstrap draws."""
    yardstick: str
    question: str
    texts: tuple[str, str]
    """Empty where a picture stands."""
    languages: tuple[str, str]
    """BCP-47 tags; `und` for a picture."""
    label: Label
    pictures: tuple[Picture | None, Picture | None] = (None, None)

    def __post_init__(self) -> None:
        if any(text and picture for text, picture in zip(self.texts, self.pictures, strict=True)):
            raise ValueError(f"{self.key} has a text and a picture at the same place")

    @property
    def has_picture(self) -> bool:
        """Whether either source is one."""
        return self.pictures != (None, None)

    @property
    def modalities(self) -> tuple[str, str]:
        """Of either source."""
        first, second = self.pictures
        return (IMAGE if first else TEXT, IMAGE if second else TEXT)

    @property
    def content(self) -> str:
        """Identifies what is asked: pairs of several yardsticks that ask the same are run through a model once."""
        asked = [self.question, self.texts, self.languages]
        shown = [[picture and picture.spec for picture in self.pictures]] if self.has_picture else []
        return sha256(json.dumps([*asked, *shown]).encode()).hexdigest()[:16]

    @property
    def conflict(self) -> bool:
        """Whether the sources contradict each other; an irrelevant one contradicts nothing."""
        return self.label is Label.CONFLICT
