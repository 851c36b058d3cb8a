"""What is replied to a question over sources, and what such a reply says. Knows no source but its number.

Whatever comes of it, a reply first says what each source answers, in English and in order. So a small model decides
whether sources disagree with both answers written down before it, where it has only to compare them. Where one source
answers, the reply may also be the value alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Literal

from xmguard.request import Prompt

Form = Literal["value", "sources"]
"""Of a reply where one source answers: the value alone, or what each source says."""


_SO = ", so "
"""Between the value that a source tells and the yes or no that follows from it."""
_GROUNDS = re.compile(rf"^[^\n]+{_SO}(?=(?:yes|no)\.?$)")


@dataclass(frozen=True)
class _Phrasing:
    """One way of saying everything."""

    answers: str
    """What a source answers."""
    silent: str
    """That it does not answer."""
    differ: str
    alike: str


_PHRASINGS = (
    _Phrasing("Source {i}: {a}.", "Source {i}: not stated.", "The sources disagree.", "The sources agree."),
    _Phrasing("Source {i} says {a}.", "Source {i} does not say.", "They contradict each other.", "They say the same."),
    _Phrasing("According to source {i}: {a}.", "Source {i} does not say.", "That is a contradiction.", "They agree."),
)
PHRASINGS = len(_PHRASINGS)


def reply(answers: Sequence[str | None], prompt: Prompt, phrasings: int, random: Random) -> str:
    """What a reader of the sources would reply.

    Args:
        answers: of every source, None where it does not answer.
        prompt: how it was asked. Under `EXPLICIT`, where every source answers, the reply begins with yes or no.
        phrasings: how many are in use, up to `PHRASINGS`. The first is as frequent as all others together.
        random: draws one.
    """
    ways = _PHRASINGS[:phrasings]
    (way,) = random.choices(ways, [max(1, len(ways) - 1), *[1] * (len(ways) - 1)])
    said = _each(answers, way)
    given = [answer for answer in answers if answer is not None]
    differ = any(one != other for one, other in combinations(given, 2))
    if prompt is Prompt.EXPLICIT:
        said.insert(0, "No." if differ else "Yes.")
    if len(given) > 1:
        said.append(way.differ if differ else way.alike)
    return " ".join(said)


def answered(answers: Sequence[str | None], form: Form) -> str:
    """What is replied where one source answers and the others, if there are some, do not; in the first phrasing."""
    (value,) = (answer for answer in answers if answer is not None)
    return value if form == "value" else " ".join(_each(answers, _PHRASINGS[0]))


def grounded(value: str, answer: str) -> str:
    """An answer of yes or no after the value that it rests on, which then has only to be compared."""
    return f"{value}{_SO}{answer}"


def claims(words: str) -> list[str]:
    """What sources answer by words that tell each of them, in any phrasing; other words as they are.

    Without the numbers of sources, which are no answers, without sources that do not answer, without whether they
    agree, and without the value that a yes or no rests on. Empty if none of them answers.
    `Source 1: not stated. Source 2: 670 meters.` claims `670 meters.`, and so does `670 meters.`
    """
    found = list(_TELLING.finditer(words))
    if not found or words[: found[0].start()].strip():
        return [_GROUNDS.sub("", words)]
    ends = [*(one.start() for one in found[1:]), len(words)]
    said = [words[one.end() : end].strip() for one, end in zip(found, ends, strict=True) if not one["silent"]]
    return [_GROUNDS.sub("", _VERDICT.sub("", one)) for one in said]


def _each(answers: Sequence[str | None], way: _Phrasing) -> list[str]:
    return [
        way.silent.format(i=number) if answer is None else way.answers.format(i=number, a=answer)
        for number, answer in enumerate(answers, 1)
    ]


def _any(phrases: Sequence[str]) -> str:
    """Pattern of some phrases, whatever the source's number."""
    return "|".join(r"\d+".join(map(re.escape, phrase.split("{i}"))) for phrase in dict.fromkeys(phrases))


_TELLING = re.compile(
    rf"(?<!\S)(?:(?P<silent>{_any([way.silent.rstrip('.') for way in _PHRASINGS])})(?!\w)\.?"
    rf"|{_any([way.answers.partition('{a}')[0].rstrip() for way in _PHRASINGS])})"
)
"""What a sentence about one source begins with, or all of one about a source that is silent."""
_VERDICT = re.compile(
    rf"\s+(?:{_any([said.rstrip('.') for way in _PHRASINGS for said in (way.differ, way.alike)])})\.?$"
)
