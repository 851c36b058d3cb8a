"""Pixels as a suite. Knows neither models nor prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xmguard import Media, Span
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.clqa.items import parse_variant
from xmguard_research.benchmarks.pictures import PNG
from xmguard_research.benchmarks.pixels.items import TOPICS, VARIANTS, Item, Source, items
from xmguard_research.benchmarks.pixels.page import PIXELS, png
from xmguard_research.benchmarks.settings import listed
from xmguard_research.benchmarks.tasks import suite


@suite
def pixels(
    topics: int = TOPICS,
    variants: str = "",
    languages: str = "en-en",
    size: str = "short",
    pixels: int = PIXELS,
    seed: int = 0,
) -> Iterator[Case]:
    """Paragraphs of CLQA as text, or lettered in a picture, that answer a question alike or not."""
    told = parse_variant(languages)
    drawn = items(topics, seed=seed, variants=listed(variants) or VARIANTS, languages=told, size=size)
    return of_items(drawn, pixels)


def of_items(drawn: Iterable[Item], pixels: int) -> Iterator[Case]:
    """Items as cases; a picture, so many pixels wide and high, is drawn when its case is asked for."""
    for item in drawn:
        spans = tuple(_span(f"s{number}", source, pixels) for number, source in enumerate(item.sources, 1))
        yield Case(item.id, item.topic, item.variant, item.question, spans, item.conflict, item.answers)


def _span(name: str, source: Source, pixels: int) -> Span:
    if source.page is None:
        return Span(name, source.paragraph.text, language=source.paragraph.language)
    return Span(name, media=Media(PNG, png(source.page, pixels)))
