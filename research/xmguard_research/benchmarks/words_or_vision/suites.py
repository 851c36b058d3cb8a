"""Statements of "Words or Vision" as a suite of texts. Knows neither models nor prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from xmguard import Span
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.tasks import suite
from xmguard_research.benchmarks.words_or_vision.statements import read
from xmguard_research.verdict.statements import Item, four_way_pairs


@suite
def words_or_vision(data: str = "") -> Iterator[Case]:
    """Two statements about a picture that nobody sees: they answer a question alike, or not."""
    return of_items(read(Path(data)))


def of_items(items: Iterable[Item]) -> Iterator[Case]:
    """Four cases of every item whose two contradicting statements agree: of either label two.

    Every statement stands once in a conflict and once in a control, at the same place of both.
    Questions about one picture are one item, where it is known.
    """
    for item in items:
        answers = {"s": (item.answer, item.answer), "c": item.changed_answers}
        for pair in four_way_pairs([item]):
            name = pair.key.rsplit("|", 1)[1]
            spans = tuple(Span(f"s{place}", text, language=item.language) for place, text in enumerate(pair.texts, 1))
            said = tuple(answers[part[0]][place] for place, part in enumerate(name.split("-")))
            yield Case(
                f"{item.name}/{name}", item.picture or item.name, "text-text", item.question, spans, pair.conflict, said
            )
