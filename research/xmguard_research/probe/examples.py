"""What the pair probe learns from: pairs of statements in both orders, and pairs of which one does not answer.

Knows nothing of models.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xmguard_research.verdict.splits import fold

LABELS = ("conflict", "consistent", "unanswered")
"""What the probe tells apart, in the order of its outputs."""


@dataclass(frozen=True)
class Example:
    """Two texts in the order they are read, and what the probe should say."""

    item: str
    question: str
    texts: tuple[str, str]
    label: int
    """Index into `LABELS`."""
    kind: str
    """`pair` or `irrelevant`."""

    @property
    def key(self) -> str:
        """Identifies the example in a results file."""
        return f"{self.item}|{self.question}|{self.texts[0]}|{self.texts[1]}"


def statement_examples(items: Sequence[Mapping[str, Any]], seed: int = 0) -> list[Example]:
    """Pairs of an item's statements in both orders, one statement with itself, and two pairs with a stranger's.

    The conflicts that one author wrote differ in little but the answer, and a statement does not contradict itself:
    both teach that the answer counts, and not how alike two texts are. Two changed answers that differ make no
    consistent pair. Strangers come from the same fold, so that no statement of one fold is seen in another.

    Raises:
        ValueError: an item is alone in its fold.
    """
    generator = random.Random(seed)
    by_fold: dict[int, list[Mapping[str, Any]]] = {}
    for item in items:
        by_fold.setdefault(fold(str(item["id"])), []).append(item)
    examples = []
    for item in items:
        support, contradict = item["support"], item["contradict"]
        first, second = (answer.strip().lower() for answer in item["changed_answer"])
        pairs = [
            (support[0], contradict[1], 0),
            (contradict[0], support[1], 0),
            (support[0], support[1], 1),
            *([(contradict[0], contradict[1], 1)] if first == second else []),
            (support[0], contradict[0], 0),
            (support[1], contradict[1], 0),
        ]
        itself = generator.choice([*support, *contradict])
        examples.append(_example(item, (itself, itself), 1, "pair"))
        for a, b, label in pairs:
            examples += [_example(item, (a, b), label, "pair"), _example(item, (b, a), label, "pair")]
        own = generator.choice([*support, *contradict])
        strangers = [other for other in by_fold[fold(str(item["id"]))] if other is not item]
        if not strangers:
            raise ValueError(f"item {item['id']} is alone in its fold, so it has no strangers; more items are needed")
        stranger = generator.choice(strangers)
        other = generator.choice([*stranger["support"], *stranger["contradict"]])
        examples += [_example(item, (own, other), 2, "irrelevant"), _example(item, (other, own), 2, "irrelevant")]
    return examples


def _example(item: Mapping[str, Any], texts: tuple[str, str], label: int, kind: str) -> Example:
    return Example(str(item["id"]), str(item["question"]), texts, label, kind)
