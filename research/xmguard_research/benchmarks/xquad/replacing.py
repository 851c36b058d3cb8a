"""Another answer for a paragraph: that of another question, of the same kind, which looks the same in the language.

Knows neither suites nor yardsticks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from hashlib import sha256

import numpy as np

from xmguard_research.benchmarks.xquad.parallel import ENGLISH, Parallel
from xmguard_research.verdict.answers import Kind, occurrences, remains, replaced, shape


class LeftOut(Enum):
    """Why a question gives no conflict."""

    UNCLEAR = "the answer is neither a year, a date, a number nor a name"
    REMAINS = "the answer does not stand for itself, or something of it would be left"
    NO_OTHER = "no other answer of the kind fits"


def alternating(rows: Sequence[Parallel], languages: tuple[str, str]) -> Iterator[tuple[Parallel, str]]:
    """Questions whose answer has a kind, with the language that is changed: either in turn."""
    for index, row in enumerate(row for row in rows if row.kind):
        yield row, languages[index % 2]


def find_donor(
    rows: Sequence[Parallel], row: Parallel, changed: Sequence[str], languages: Sequence[str], seed: int
) -> Parallel | LeftOut:
    """Another question whose answer can take the answer's place in every language of `changed`.

    It is of the same kind, in each changed language of the same shape, and in none of `languages`, nor in English,
    equal to the answer, part of it, around it, or in the paragraph already. Chosen at random among those, by seed, the
    last of `languages` and the question's name.
    """
    kind = row.kind
    if kind is None:
        return LeftOut.UNCLEAR
    if any(_leaves(row, language, kind) for language in changed):
        return LeftOut.REMAINS
    wanted = [shape(row.answers[language], language, kind) for language in changed]
    fitting = [
        donor
        for donor in rows
        if donor.kind is kind
        and [shape(donor.answers[language], language, kind) for language in changed] == wanted
        and not any(_related(row, donor, language) for language in {ENGLISH, *languages})
    ]
    if not fitting:
        return LeftOut.NO_OTHER
    entropy = int.from_bytes(sha256(f"{seed} {languages[-1]} {row.name}".encode()).digest()[:8])
    return fitting[int(np.random.default_rng(entropy).integers(len(fitting)))]


def with_answer_of(row: Parallel, donor: Parallel, language: str) -> str:
    """The paragraph in a language, with the donor's answer wherever its own stood."""
    return replaced(row.answers[language], row.contexts[language], donor.answers[language])


def _leaves(row: Parallel, language: str, kind: Kind) -> bool:
    """Whether changing the answer would miss its place or leave something of it."""
    answer, text = row.answers[language], row.contexts[language]
    if row.starts[language] not in occurrences(answer, text):
        return True
    return remains(answer, replaced(answer, text, "\x00"), kind)


def _related(row: Parallel, donor: Parallel, language: str) -> bool:
    answer, other = row.answers[language].casefold().strip(" .,"), donor.answers[language].casefold().strip(" .,")
    return answer in other or other in answer or bool(occurrences(other, row.contexts[language]))
