"""Pairs in which a text does not speak to the question: the verdict should say that it is undetermined.

The other texts are statements of other items of the same fold, so that no text crosses folds. Items are matched at
random such that each lends its statements equally often: what is said does not tell an irrelevant pair from a conflict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.splits import fold
from xmguard_research.verdict.statements import Item, four_way_pairs
from xmguard_research.verdict.words import content_words

YARDSTICK = "irrelevant"
MAX_SHARED = 1
"""Content words that a statement may have in common with a question that it is to be irrelevant to."""
_FORBIDDEN = 1e6


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

    All four statements of an item that lends one are irrelevant to the question. At the first place stands the first
    statement of a side, at the second the second, as in four-way pairs; which side is drawn. Items to which no two
    others of their fold can be matched give none.
    """
    generator = np.random.default_rng(seed)
    folds: dict[int, list[Item]] = {}
    for item in items:
        folds.setdefault(fold(item.name), []).append(item)
    lenders: dict[str, tuple[Item, Item]] = {}
    for members in folds.values():
        lenders |= _lenders(members, generator)
    for item in items:
        if item.name not in lenders:
            continue
        one, other = lenders[item.name]
        for name, owners in (
            ("own-foreign", (item, one)),
            ("foreign-own", (one, item)),
            ("foreign-foreign", (one, other)),
        ):
            sides = [(owner.support, owner.contradict)[generator.integers(2)] for owner in owners]
            texts = (sides[0][0], sides[1][1])
            languages = (owners[0].language, owners[1].language)
            key = f"{yardstick}|{item.name}|{name}"
            yield Pair(key, item.name, yardstick, item.question, texts, languages, Label.UNDETERMINED)


def with_conflicts(items: Sequence[Item], *, seed: int = 0, yardstick: str = YARDSTICK) -> Iterator[Pair]:
    """Irrelevant pairs next to the conflicts of the same items: is what is unrelated told from what contradicts?

    Only items that are four-way, so that both are about the same topics.
    """
    four_way = [item for item in items if item.is_four_way]
    pairs = list(irrelevant_pairs(four_way, seed=seed, yardstick=yardstick))
    yield from pairs
    kept = {pair.item for pair in pairs}
    yield from (pair for pair in four_way_pairs(four_way, yardstick) if pair.conflict and pair.item in kept)


def _lenders(items: Sequence[Item], generator: np.random.Generator) -> dict[str, tuple[Item, Item]]:
    """Two other items for each, every item lent at most once as the first and once as the second."""
    allowed = np.array(
        [
            [
                item.name != other.name
                and all(is_irrelevant(item.question, text) for text in (*other.support, *other.contradict))
                for other in items
            ]
            for item in items
        ]
    )
    first = matching(allowed, generator)
    rest = allowed.copy()
    rest[np.arange(len(items)), first] = False
    second = matching(rest, generator)
    return {
        item.name: (items[first[place]], items[second[place]])
        for place, item in enumerate(items)
        if allowed[place, first[place]] and rest[place, second[place]]
    }


def matching(allowed: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.int64]:
    """A column for each row, none twice: a random matching with as few as possible that are not allowed.

    There are at least as many columns as rows.
    """
    cost = generator.random(allowed.shape) + _FORBIDDEN * ~allowed
    return np.asarray(linear_sum_assignment(cost)[1])
