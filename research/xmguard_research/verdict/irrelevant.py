"""Pairs in which a text does not speak to the question: the verdict should say that it is undetermined.

The other text is a statement of another item, chosen at random within the item's fold, so that no text crosses folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.splits import fold
from xmguard_research.verdict.statements import Item
from xmguard_research.verdict.words import content_words

YARDSTICK = "irrelevant"
MAX_SHARED = 1
"""Content words that a statement may have in common with a question that it is to be irrelevant to."""


def is_irrelevant(question: str, statement: str) -> bool:
    """Whether a statement shares at most one content word with a question, and not all that the question has.

    Words are compared as written: "bus" and "buses" differ. A question without a content word ("What is this?") is
    answered by anything.
    """
    asked = content_words(question)
    shared = asked & content_words(statement)
    return len(shared) <= MAX_SHARED and shared != asked


def irrelevant_pairs(items: Sequence[Item], *, seed: int = 0, yardstick: str = YARDSTICK) -> Iterator[Pair]:
    """Three pairs an item: own and foreign, foreign and own, and two foreign statements of two different items.

    Whether the own statement is a supporting or a contradicting one alternates from item to item. Items to which no two
    others of their fold are irrelevant give none.
    """
    generator = np.random.default_rng(seed)
    folds: dict[int, list[Item]] = {}
    for item in items:
        folds.setdefault(fold(item.name), []).append(item)
    for index, item in enumerate(items):
        foreign = _foreign(item, folds, generator)
        if foreign is None:
            continue
        own = (item.support, item.contradict)[index % 2][index // 2 % 2]
        for name, texts in (
            ("own-foreign", (own, foreign[0])),
            ("foreign-own", (foreign[0], own)),
            ("foreign-foreign", foreign),
        ):
            languages = (item.language, item.language)
            key = f"{yardstick}|{item.name}|{name}"
            yield Pair(key, item.name, yardstick, item.question, texts, languages, Label.UNDETERMINED)


def _foreign(item: Item, folds: Mapping[int, Sequence[Item]], generator: np.random.Generator) -> tuple[str, str] | None:
    """Two statements of two other items that are irrelevant to the item's question; None where there are not two."""
    others = folds[fold(item.name)]
    found: list[str] = []
    for place in generator.permutation(len(others)):
        other = others[place]
        statement = (*other.support, *other.contradict)[generator.integers(4)]
        if other.name != item.name and is_irrelevant(item.question, statement):
            found.append(statement)
            if len(found) == 2:
                return found[0], found[1]
    return None
