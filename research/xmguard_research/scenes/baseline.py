"""What can be answered without looking: the most frequent training answer to a question's wording, or to its skill."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from xmguard_research.scenes.spec import SKILLS, Question, Scene


@dataclass(frozen=True)
class Blind:
    """How often answers that never see a picture are right, in one skill."""

    skill: str
    questions: int
    answers: int
    """Different ones in the test questions."""
    by_skill: float
    """Share answered by the skill's most frequent training answer."""
    by_wording: float
    """Share answered by the most frequent training answer to the very same words, else to the skill."""


class Guesses:
    """What training scenes suggest to one who does not look."""

    def __init__(self, train: Iterable[Scene]) -> None:
        self._wordings: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._skills: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for scene in train:
            for question in scene.questions:
                self._wordings[question.text][question.answer] += 1
                self._skills[question.skill][question.answer] += 1

    def by_skill(self, question: Question) -> str:
        """The skill's most frequent answer; nothing if it was never asked."""
        return _top(self._skills.get(question.skill))

    def by_wording(self, question: Question) -> str:
        """The most frequent answer to the very same words; that of the skill if they were never asked."""
        return _top(self._wordings.get(question.text)) or self.by_skill(question)


def blind(train: Iterable[Scene], test: Iterable[Scene]) -> list[Blind]:
    """One row for every skill that the test asks, in the order of `SKILLS`."""
    guesses = Guesses(train)
    asked: defaultdict[str, list[Question]] = defaultdict(list)
    for scene in test:
        for question in scene.questions:
            asked[question.skill].append(question)
    return [
        Blind(
            skill=skill,
            questions=len(asked[skill]),
            answers=len({question.answer for question in asked[skill]}),
            by_skill=_share(asked[skill], guesses.by_skill),
            by_wording=_share(asked[skill], guesses.by_wording),
        )
        for skill in SKILLS
        if asked[skill]
    ]


def _top(answers: Counter[str] | None) -> str:
    return answers.most_common(1)[0][0] if answers else ""


def _share(questions: list[Question], answer: Callable[[Question], str]) -> float:
    return sum(answer(question) == question.answer for question in questions) / len(questions)
