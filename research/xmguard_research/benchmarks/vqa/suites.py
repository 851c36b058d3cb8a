"""Pictures of VQA-v2 beside a statement, as a suite. Knows neither models nor prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from xmguard import Media, Span
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.tasks import suite
from xmguard_research.benchmarks.vqa.questions import Asked, drawn, read

STATEMENT = 'Somebody who was there was asked "{question}" and said: {answer}.'


@suite
def vqa_conflict(
    questions: str = "", annotations: str = "", images: str = "", count: int = 500, seed: int = 0
) -> Iterator[Case]:
    """A photograph and a statement from a template, which answers as people do who see the picture, or otherwise."""
    return of_questions(drawn(read(Path(questions), Path(annotations), Path(images)), count, seed))


def of_questions(found: Sequence[tuple[Asked, str]]) -> Iterator[Case]:
    """Four cases of every question: text and picture in both orders, and of each a conflict and its control.

    The item is the photograph: VQA-v2 asks several questions about one.
    """
    for one, other in found:
        picture = Media("image/jpeg", one.picture.read_bytes())
        for said, conflict in ((other, True), (one.answer, False)):
            statement = STATEMENT.format(question=one.question, answer=said)
            label = "conflict" if conflict else "control"
            yield Case(
                f"{one.name}/text-image/{label}",
                one.picture.stem,
                "text-image",
                one.question,
                (Span("s1", statement, language="en"), Span("s2", media=picture)),
                conflict,
                (said, one.answer),
            )
            yield Case(
                f"{one.name}/image-text/{label}",
                one.picture.stem,
                "image-text",
                one.question,
                (Span("s1", media=picture), Span("s2", statement, language="en")),
                conflict,
                (one.answer, said),
            )
