"""Four-way pairs of statements: two that support an answer, two that support another.

Conflict pairs mix the sides, consistent pairs stay on one. Every statement stands once in a conflict and once in a
consistent pair, at the same place of both, so that no statement gives the label away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xmguard_research.results import lines
from xmguard_research.verdict.pairs import Label, Pair

YARDSTICK = "statements"


@dataclass(frozen=True)
class Item:
    """A question with two independent statements for each of two answers."""

    name: str
    question: str
    support: tuple[str, str]
    contradict: tuple[str, str]
    changed_answers: tuple[str, str]
    """What each of the contradicting statements answers."""
    language: str = "en"
    answer: str = ""
    """What the supporting statements answer; empty where it is not known."""
    picture: str = ""
    """What the statements are about; empty where it is not known."""

    @property
    def is_four_way(self) -> bool:
        """Whether the contradicting statements agree with each other: their answers are equal but for case."""
        first, second = (answer.strip().lower() for answer in self.changed_answers)
        return first == second


def read_items(path: Path) -> list[Item]:
    """Items of JSON lines: `id`, `question`, `support` [2], `contradict` [2], `changed_answer` [2].

    `answer` and `picture` may be there.
    """
    return [
        Item(
            str(row["id"]),
            row["question"],
            (row["support"][0], row["support"][1]),
            (row["contradict"][0], row["contradict"][1]),
            (str(row["changed_answer"][0]), str(row["changed_answer"][1])),
            answer=str(row.get("answer", "")),
            picture=str(row.get("picture", "")),
        )
        for row in lines(path)
    ]


def four_way_pairs(items: Sequence[Item], yardstick: str = YARDSTICK) -> Iterator[Pair]:
    """Four pairs of every item that is four-way; the others have no second consistent pair and give none."""
    for item in items:
        if not item.is_four_way:
            continue
        support, contradict = item.support, item.contradict
        for name, texts, label in (
            ("s0-c1", (support[0], contradict[1]), Label.CONFLICT),
            ("c0-s1", (contradict[0], support[1]), Label.CONFLICT),
            ("s0-s1", support, Label.CONSISTENT),
            ("c0-c1", contradict, Label.CONSISTENT),
        ):
            languages = (item.language, item.language)
            yield Pair(f"{yardstick}|{item.name}|{name}", item.name, yardstick, item.question, texts, languages, label)
