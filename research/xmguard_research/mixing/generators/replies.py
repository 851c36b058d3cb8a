"""What is replied to a question over two or more sources, in a few phrasings each. Knows no source but its number."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from xmguard.request import Prompt

Answer = tuple[int, str]
"""Number of a source, from 1, and what it answers."""

# Whatever comes of it, a reply begins with what the first source that answers says. So a model decides whether another one
# differs when it has that value before it, in English, and has only to find it, or not, in the other source.
_CONFLICT = (
    "{a} according to source {i}, but source {j} says {b}: the sources disagree.",
    "{a} according to source {i}, but {b} according to source {j}. The sources contradict each other.",
    "{a} if source {i} is right, but source {j} says {b}. The sources disagree.",
    "{a}, says source {i}. Source {j} contradicts it and says {b}.",
)
_ALIKE = (
    "{a} according to source {i}, and source {j} says the same.",
    "{a} according to both source {i} and source {j}.",
    "{a}, as source {i} and source {j} say.",
    "{a}, says source {i}. Source {j} agrees.",
)
_ONE = (
    "{a} according to source {i}.",
    "{a}, as source {i} says.",
    "{a}, says source {i}.",
    "{a}.",
)
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


def reply(answers: Sequence[Answer], prompt: Prompt, phrasings: int, random: Random) -> str:
    """What a reader of the sources would reply.

    Args:
        answers: of the sources that answer, two at most.
        prompt: how it was asked; under `EXPLICIT` every source answers.
        phrasings: how many are in use, up to `PHRASINGS`. The first is as frequent as all others together.
        random: draws one.
    """
    ways = _ways(answers, prompt)[:phrasings]
    weights = [max(1, len(ways) - 1), *[1] * (len(ways) - 1)]
    (way,) = random.choices(ways, weights)
    numbered = zip(("i", "j"), ("a", "b"), answers, strict=False)
    slots = {key: said for i, a, (number, answer) in numbered for key, said in ((i, number), (a, answer))}
    return way.format(**slots)


def _ways(answers: Sequence[Answer], prompt: Prompt) -> Sequence[str]:
    if len(answers) < 2:
        return _ONE if answers else _NONE
    differ = answers[0][1] != answers[1][1]
    if prompt is Prompt.EXPLICIT:
        return _DIFFERENT if differ else _SAME
    return _CONFLICT if differ else _ALIKE
