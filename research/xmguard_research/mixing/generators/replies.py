"""What is replied to a question over two or more sources, in a few phrasings each. Knows no source but its number.

Whatever comes of it, a reply first says what each source answers, in English and in order. So a small model decides
whether sources disagree with both answers written down before it, where it has only to compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

from xmguard.request import Prompt


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
    said = [
        way.silent.format(i=number) if answer is None else way.answers.format(i=number, a=answer)
        for number, answer in enumerate(answers, 1)
    ]
    given = [answer for answer in answers if answer is not None]
    differ = any(one != other for one, other in combinations(given, 2))
    if prompt is Prompt.EXPLICIT:
        said.insert(0, "No." if differ else "Yes.")
    if len(given) > 1:
        said.append(way.differ if differ else way.alike)
    return " ".join(said)
