"""What is replied to a question over two or more sources, in a few phrasings each. Knows no source but its number."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from xmguard.request import Prompt

Answer = tuple[int, str]
"""Number of a source, from 1, and what it answers."""

_CONFLICT = (
    "The sources disagree: source {i} says {a}, source {j} says {b}.",
    "The sources contradict each other: source {i} says {a}, but source {j} says {b}.",
    "The sources give different answers: {a} according to source {i}, {b} according to source {j}.",
    "There is a contradiction between the sources. Source {i} says {a}, while source {j} says {b}.",
)
_ALIKE = ("{a}.", "Sources {i} and {j} say {a}.", "{a}, as sources {i} and {j} say.", "The answer is {a}.")
_ALIKE_OF_TWO = ("{a}.", "Both sources say {a}.", "{a}, as both sources say.", "The answer is {a}.")
_ONE = ("{a}.", "Source {i} says {a}.", "{a}, according to source {i}.", "The answer is {a}.")
_NONE = (
    "The sources do not say.",
    "None of the sources says that.",
    "The sources do not answer the question.",
    "That is not stated in the sources.",
)
_DIFFERENT = (
    "No. Source {i} says {a}, source {j} says {b}.",
    "No. Source {i} says {a}, but source {j} says {b}.",
    "No, the sources disagree: source {i} says {a}, source {j} says {b}.",
    "No. The answer of source {i} is {a}, that of source {j} is {b}.",
)
_SAME = (
    "Yes. Both say {a}.",
    "Yes. Both sources say {a}.",
    "Yes, both sources say {a}.",
    "Yes. The answer of both is {a}.",
)
PHRASINGS = len(_CONFLICT)


def reply(answers: Sequence[Answer], sources: int, prompt: Prompt, phrasings: int, random: Random) -> str:
    """What a reader of the sources would reply.

    Args:
        answers: of the sources that answer, two at most.
        sources: how many were read.
        prompt: how it was asked; under `EXPLICIT` every source answers.
        phrasings: how many are in use, up to `PHRASINGS`. The first is as frequent as all others together.
        random: draws one.
    """
    ways = _ways(answers, sources, prompt)[:phrasings]
    weights = [max(1, len(ways) - 1), *[1] * (len(ways) - 1)]
    (way,) = random.choices(ways, weights)
    numbered = zip(("i", "j"), ("a", "b"), answers, strict=False)
    slots = {key: said for i, a, (number, answer) in numbered for key, said in ((i, number), (a, answer))}
    return way.format(**slots)


def _ways(answers: Sequence[Answer], sources: int, prompt: Prompt) -> Sequence[str]:
    if len(answers) < 2:
        return _ONE if answers else _NONE
    differ = answers[0][1] != answers[1][1]
    if prompt is Prompt.EXPLICIT:
        return _DIFFERENT if differ else _SAME
    if differ:
        return _CONFLICT
    return _ALIKE_OF_TWO if sources == len(answers) else _ALIKE
