"""CMQA as suites: items become cases, and pictures are drawn. Knows neither models nor prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xmguard import Media, Span
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.cmqa.items import SEED, TRIPLES, VARIANTS, Item, Source, items
from xmguard_research.benchmarks.cmqa.pictures import png
from xmguard_research.benchmarks.pictures import PNG
from xmguard_research.benchmarks.settings import listed
from xmguard_research.benchmarks.tasks import suite
from xmguard_research.scenes import KINDS

MINI = (
    ("activity", "activity", ("ab", "aa")),
    ("price", "price", ("ba", "bb")),
    ("objects", "object", ("ba", "aa")),
)
"""Kind, skill, and conflict and control of each triple of the mini suite: what smolvlm-tiny reads best."""
MINI_VARIANTS = ("text-text", "image-image", "text-image")


@suite
def cmqa(
    triples: int = TRIPLES, variants: str = "", kinds: str = "", style: str = "noto", seed: int = SEED
) -> Iterator[Case]:
    """A scene drawn or told, beside the same scene or its twin drawn or told, that answer a question alike or not."""
    chosen = items(triples, seed=seed, variants=listed(variants) or VARIANTS, kinds=listed(kinds) or KINDS)
    return of_items(chosen, style)


@suite
def cmqa_mini() -> Iterator[Case]:
    """Three triples of CMQA: two texts, two pictures, or one of each."""
    chosen = (
        item
        for kind, skill, pairs in MINI
        for item in items(1, variants=MINI_VARIANTS, kinds=[kind], skills=[skill])
        if item.pair in pairs
    )
    return of_items(chosen, "noto")


def of_items(drawn: Iterable[Item], style: str) -> Iterator[Case]:
    """Items as cases; a picture is drawn when its case is asked for.

    Raises:
        InvalidRequest: there is no such style.
        SetupIncomplete: its art is not on this machine; the message names the command that fetches it.
    """
    for item in drawn:
        spans = tuple(_span(f"s{number}", source, style) for number, source in enumerate(item.sources, 1))
        yield Case(item.id, item.triple, item.variant, item.question, spans, item.conflict, item.answers)


def _span(name: str, source: Source, style: str) -> Span:
    if source.told:
        return Span(name, source.told.text, language="en")
    return Span(name, media=Media(PNG, png(source.scene, style)))
