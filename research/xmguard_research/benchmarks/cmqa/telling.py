"""A scene told in a few sentences, with the place of the one that answers a question.

Scenes that differ in one fact are told alike: which sentences, and in which order, depends on the look alone, which
twins share. Knows no pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from xmguard_research.scenes import Scene

WORDINGS = (0, 1)
"""Of every fact another statement, and all in another order."""


@dataclass(frozen=True)
class Telling:
    """A paragraph about a scene."""

    text: str
    start: int
    """First character of the sentence that states the fact."""
    end: int
    """One past its last."""

    @property
    def sentence(self) -> str:
        """That sentence."""
        return self.text[self.start : self.end]


def telling(scene: Scene, slot: str, wording: int) -> Telling:
    """Every fact of the scene in one statement, in one of `WORDINGS`; the answer is what it says of `slot`.

    Raises:
        KeyError: the scene says nothing of the kind.
    """
    random = scene.random("tellings")
    statements = [random.sample(range(len(fact.statements)), len(WORDINGS)) for fact in scene.facts]
    order = _orders(len(scene.facts), random)[wording]
    sentences = [scene.facts[index].statements[statements[index][wording]] for index in order]
    place = order.index([fact.slot for fact in scene.facts].index(scene.fact(slot).slot))
    start = sum(len(sentence) + 1 for sentence in sentences[:place])
    return Telling(" ".join(sentences), start, start + len(sentences[place]))


def _orders(count: int, random: Random) -> tuple[list[int], list[int]]:
    """Two different ones."""
    first, second = (random.sample(range(count), count) for _ in WORDINGS)
    while second == first:
        second = random.sample(range(count), count)
    return first, second
