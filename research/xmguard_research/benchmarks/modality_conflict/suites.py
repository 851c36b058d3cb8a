"""The suite `modality-conflict`: each modality alone, and both together in both orders. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inspect_ai.scorer import Scorer

from xmguard import AnswerResponse, Span
from xmguard_research.benchmarks.modality_conflict.items import TIERS, Item
from xmguard_research.benchmarks.modality_conflict.items import items as made
from xmguard_research.benchmarks.modality_conflict.pictures import draw
from xmguard_research.benchmarks.probes import Facts, Found, Probe, judged, measured, picture, scored
from xmguard_research.benchmarks.settings import Settings
from xmguard_research.scenes.concepts import COLOURS

ITEMS = 12
_COLOUR = re.compile(rf"\b(?:{'|'.join(COLOURS)})\b")


def names_picture_value(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """The only colour that the response names is the picture's."""
    return _names("picture", response, facts, guarded)


def names_text_value(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """The only colour that the response names is the text's."""
    return _names("text", response, facts, guarded)


def _names(side: str, response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """With the entropy of the answer where one modality was read by a model of ours."""
    if facts.get(side) is None:
        return None
    said = set(_COLOUR.findall(response.lower()))
    entropy = guarded.spans[0].entropy_alone if guarded is not None and len(guarded.spans) == 1 else None
    return Found(said == {facts[side]}, {} if entropy is None else {"entropy": entropy}, ", ".join(sorted(said)))


def _scorers(settings: Settings) -> Sequence[Scorer]:
    return [judged(settings), scored(names_picture_value), scored(names_text_value)]


@measured(_scorers)
def modality_conflict(shapes: int = ITEMS, seed: int = 0) -> Iterator[Probe]:
    """A shape that has one colour in a picture and another in a text, each in three tiers of difficulty."""
    return (probe for item in made(shapes, seed=seed) for probe in _probes(item))


def _probes(item: Item) -> Iterator[Probe]:
    seen, read = item.colours
    pictures = {tier: draw(item, tier) for tier in TIERS}
    for tier in TIERS:
        shown, told = picture("s1", pictures[tier]), Span("s1", item.told(tier, read), language="en")
        yield _probe(item, f"image {tier}", (shown,), None, {"picture": seen})
        yield _probe(item, f"text {tier}", (told,), None, {"text": read})
    for easy_to_see in TIERS:
        for easy_to_read in TIERS:
            for conflict in (True, False) if easy_to_see == easy_to_read else (True,):
                text = item.told(easy_to_read, read if conflict else seen)
                names = f"image {easy_to_see}", f"text {easy_to_read}"
                both = (picture("s1", pictures[easy_to_see]), Span("s2", text, language="en"))
                other = (Span("s1", text, language="en"), picture("s2", pictures[easy_to_see]))
                facts = {"picture": seen, "text": read} if conflict else {}
                yield _probe(item, " + ".join(names), both, conflict, facts)
                yield _probe(item, " + ".join(reversed(names)), other, conflict, facts)


def _probe(item: Item, variant: str, spans: tuple[Span, ...], conflict: bool | None, facts: Facts) -> Probe:
    label = {True: "/conflict", False: "/control", None: ""}[conflict]
    name = variant.replace(" + ", "+").replace(" ", "-")
    return Probe(f"{item.id}/{name}{label}", item.id, variant, "standard", item.question, spans, conflict, facts)


def lines(items: int = ITEMS, seed: int = 0) -> list[Mapping[str, Any]]:
    """The items as values."""
    return [
        {
            "id": item.id,
            "question": item.question,
            "colours": item.colours,
            "shown": {tier: item.shown(tier) for tier in TIERS},
            "told": {tier: [item.told(tier, colour) for colour in reversed(item.colours)] for tier in TIERS},
        }
        for item in made(items, seed=seed)
    ]
