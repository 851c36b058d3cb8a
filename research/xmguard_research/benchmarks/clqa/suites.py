"""CLQA as suites. Knows neither models nor prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xmguard import Span
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.clqa.items import Item, items, parse_variant
from xmguard_research.benchmarks.settings import listed
from xmguard_research.benchmarks.tasks import suite


@suite
def clqa(topics: int = 400, variants: str = "", size: str = "long", seed: int = 0) -> Iterator[Case]:
    """Paragraphs in two languages, or twice in one, that answer an English question alike or not."""
    chosen = [parse_variant(one) for one in listed(variants)] or None
    return of_items(items(topics, seed=seed, chosen=chosen, sizes=[size]))


@suite
def clqa_mini() -> Iterator[Case]:
    """Three topics of CLQA in two sentences each, in English twice and in English and Spanish."""
    return of_items(items(3, chosen=[("en", "en"), ("en", "es")], sizes=["short"]))


def of_items(drawn: Iterable[Item]) -> Iterator[Case]:
    """Items as cases. The variant keeps the order in which the languages are read."""
    for item in drawn:
        spans = tuple(
            Span(f"s{number}", paragraph.text, language=paragraph.language)
            for number, paragraph in enumerate(item.paragraphs, 1)
        )
        yield Case(item.id, item.topic, "-".join(item.languages), item.question, spans, item.conflict, item.answers)
