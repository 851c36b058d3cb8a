"""What every yardstick is made of: two texts, a question, and whether they answer it differently.

Knows no data set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256


class Label(Enum):
    """What is true of a pair."""

    CONFLICT = "conflict"
    CONSISTENT = "consistent"
    UNDETERMINED = "undetermined"
    """At least one text says nothing about the question."""


@dataclass(frozen=True)
class Pair:
    """Two texts about a question, in the order in which they are read."""

    key: str
    """Identifies the pair among all yardsticks."""
    item: str
    """What it is drawn from: pairs of one item stay together in folds and bootstrap draws."""
    yardstick: str
    question: str
    texts: tuple[str, str]
    languages: tuple[str, str]
    """BCP-47 tags."""
    label: Label

    @property
    def content(self) -> str:
        """Identifies what is asked: pairs of several yardsticks that ask the same are run through a model once."""
        asked = json.dumps([self.question, self.texts, self.languages])
        return sha256(asked.encode()).hexdigest()[:16]

    @property
    def conflict(self) -> bool:
        """Whether the texts contradict each other; an irrelevant text contradicts nothing."""
        return self.label is Label.CONFLICT
