"""Cases: a question over sources, and whether these contradict each other. What every conflict suite is made of.

Values only. Knows no prompt, no model and no judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xmguard import Span
from xmguard_research.benchmarks.clqa.items import Item


@dataclass(frozen=True)
class Case:
    """A question over sources, in the order in which they are read."""

    id: str
    """Unique in its suite."""
    item: str
    """What it is a variant of: cases of one item stay together in folds and bootstrap draws."""
    variant: str
    """Which modalities or languages meet, in their order: `en-zh`, `text-image`."""
    question: str
    spans: tuple[Span, ...]
    conflict: bool
    answers: tuple[str, ...]
    """What each source answers."""


def of_clqa(items: Iterable[Item]) -> Iterator[Case]:
    """Items of CLQA as cases. The variant keeps the order in which the languages are read."""
    for item in items:
        spans = tuple(
            Span(f"s{number}", paragraph.text, language=paragraph.language)
            for number, paragraph in enumerate(item.paragraphs, 1)
        )
        yield Case(item.id, item.topic, "-".join(item.languages), item.question, spans, item.conflict, item.answers)
