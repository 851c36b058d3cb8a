"""One paragraph in two languages: as translated, and with the answer changed in one of them.

A conflict puts the answer of another question of the same kind and shape, in the same language, in the place of every
mention of the answer; its consistent twin is the same two paragraphs untouched. Both come in both orders. Questions
stay English. In twins only a conflict has a changed paragraph, so a text that looks forged gives the label away;
four-way pairs have neither, each, or both of the paragraphs changed, so that no text does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from xmguard_research.results import lines
from xmguard_research.verdict.answers import Kind, kind_of, occurrences, remains, replaced, shape
from xmguard_research.verdict.pairs import Label, Pair

YARDSTICK = "crosslingual"
OTHERS = ("zh", "tr", "es", "de")
"""Languages that are paired with English."""
ENGLISH = "en"


@dataclass(frozen=True)
class Parallel:
    """A question with its paragraph and answer in several languages."""

    name: str
    paragraph: str
    """Several questions share one."""
    question: str
    """English."""
    contexts: Mapping[str, str]
    answers: Mapping[str, str]
    starts: Mapping[str, int]
    """Where the answer stands in each paragraph, in characters."""
    kind: Kind | None
    """Of the English answer."""


def read_parallel(path: Path) -> list[Parallel]:
    """Rows of a JSONL file with `id`, `paragraph`, `question`, `context` and `answer` {language: {text, start}}.

    Raises:
        ValueError: an answer does not stand where its row says.
    """
    rows = [_parallel(row) for row in lines(path)]
    for row in rows:
        for language, answer in row.answers.items():
            if not row.contexts[language].startswith(answer, row.starts[language]):
                raise ValueError(f"{path}: {row.name}: the answer in {language} is not at {row.starts[language]}")
    return rows


def twins(rows: Sequence[Parallel], other: str, *, seed: int = 0) -> Iterator[Pair]:
    """Four pairs a question: one paragraph changed and neither, each in both orders.

    Which language is changed alternates over the questions whose answer has a kind, in the order of `rows`; a question
    without another answer that fits gives no pairs.
    """
    for row, language in alternating(rows, other):
        donor = find_donor(rows, row, (language,), other, seed)
        if donor is not None:
            yield from _pairs(row, donor, other, f"{YARDSTICK}-en-{other}", [(language,), ()])


def four_way(rows: Sequence[Parallel], other: str, *, seed: int = 0) -> Iterator[Pair]:
    """Eight pairs a question: English changed, the other changed (conflicts), neither, both, each in both orders."""
    for row in rows:
        donor = find_donor(rows, row, (ENGLISH, other), other, seed) if row.kind else None
        if donor is not None:
            yardstick = f"{YARDSTICK}-4-en-{other}"
            yield from _pairs(row, donor, other, yardstick, [(ENGLISH,), (other,), (), (ENGLISH, other)])


def foreign(rows: Sequence[Parallel], other: str) -> Iterator[Pair]:
    """Two pairs a question of `twins`, for UNDETERMINED: its own paragraph comes first, one of another article second.

    Articles are told apart by the paragraph's first number. Which foreign paragraph is taken is fixed by position.
    """
    yardstick = f"{YARDSTICK}-foreign-en-{other}"
    for index, (row, _) in enumerate(alternating(rows, other)):
        strangers = [one for one in rows if one.paragraph.split("-")[0] != row.paragraph.split("-")[0]]
        stranger = strangers[(index * 37) % len(strangers)]
        for own, strange in ((ENGLISH, other), (other, ENGLISH)):
            texts = (row.contexts[own], stranger.contexts[strange])
            key = f"{yardstick}|{row.name}|own in {own}"
            yield Pair(key, row.paragraph, yardstick, row.question, texts, (own, strange), Label.UNDETERMINED)


def kinds(rows: Sequence[Parallel], other: str, *, seed: int = 0) -> str:
    """How many questions of each kind there are, and how many of them give twins and four-way pairs; Markdown."""
    asked = Counter(row.kind for row in rows)
    given = [
        Counter(by_name[name].kind for name in {pair.key.split("|")[1] for pair in made})
        for by_name in [{row.name: row for row in rows}]
        for made in (twins(rows, other, seed=seed), four_way(rows, other, seed=seed))
    ]
    lines = [f"| en and {other}: questions | asked | in twins | in four-way pairs |", "|---|---|---|---|"]
    for kind in Kind:
        lines.append(f"| {kind.value} | {asked[kind]} | {given[0][kind]} | {given[1][kind]} |")
    lines.append(f"| of no kind, left out | {asked[None]} | | |")
    return "\n".join(lines)


def alternating(rows: Sequence[Parallel], other: str) -> Iterator[tuple[Parallel, str]]:
    """Questions whose answer has a kind, with the language that `twins` changes."""
    for index, row in enumerate(row for row in rows if row.kind):
        yield row, (ENGLISH, other)[index % 2]


def find_donor(
    rows: Sequence[Parallel], row: Parallel, changed: Sequence[str], other: str, seed: int
) -> Parallel | None:
    """Another question whose answer can take the answer's place in every language of `changed`.

    It is of the same kind, in each changed language of the same shape, and in neither language equal to the answer,
    part of it, around it, or in the paragraph already. Chosen at random among those, by seed and the question's name.
    """
    kind = row.kind
    if kind is None or any(_leaves(row, language, kind) for language in changed):
        return None
    wanted = [shape(row.answers[language], language, kind) for language in changed]
    fitting = [
        donor
        for donor in rows
        if donor.kind is kind
        and [shape(donor.answers[language], language, kind) for language in changed] == wanted
        and not any(_related(row, donor, language) for language in (ENGLISH, other))
    ]
    if not fitting:
        return None
    entropy = int.from_bytes(sha256(f"{seed} {other} {row.name}".encode()).digest()[:8])
    return fitting[int(np.random.default_rng(entropy).integers(len(fitting)))]


def _leaves(row: Parallel, language: str, kind: Kind) -> bool:
    """Whether changing the answer would miss its place or leave something of it."""
    answer, text = row.answers[language], row.contexts[language]
    if row.starts[language] not in occurrences(answer, text):
        return True
    return remains(answer, replaced(answer, text, "\x00"), kind)


def _related(row: Parallel, donor: Parallel, language: str) -> bool:
    answer, other = row.answers[language].casefold().strip(" .,"), donor.answers[language].casefold().strip(" .,")
    return answer in other or other in answer or bool(occurrences(other, row.contexts[language]))


def _pairs(
    row: Parallel, donor: Parallel, other: str, yardstick: str, changes: Sequence[tuple[str, ...]]
) -> Iterator[Pair]:
    for changed, languages in product(changes, ((ENGLISH, other), (other, ENGLISH))):
        texts = {language: row.contexts[language] for language in languages}
        for language in changed:
            texts[language] = replaced(row.answers[language], texts[language], donor.answers[language])
        key = f"{yardstick}|{row.name}|{'-'.join(languages)}|changed:{'+'.join(changed) or 'none'}"
        label = Label.CONFLICT if len(changed) == 1 else Label.CONSISTENT
        first, second = languages
        yield Pair(key, row.paragraph, yardstick, row.question, (texts[first], texts[second]), languages, label)


def _parallel(row: Mapping[str, Any]) -> Parallel:
    question, contexts = row["question"][ENGLISH], row["context"]
    answers = {language: answer["text"] for language, answer in row["answer"].items()}
    starts = {language: answer["start"] for language, answer in row["answer"].items()}
    kind = kind_of(question, answers[ENGLISH], contexts[ENGLISH], starts[ENGLISH])
    return Parallel(row["id"], row["paragraph"], question, contexts, answers, starts, kind)
