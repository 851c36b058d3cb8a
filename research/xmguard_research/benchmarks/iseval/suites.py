"""The suite `iseval`. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inspect_ai.scorer import Scorer

from xmguard import AnswerResponse, Span
from xmguard_research.benchmarks.iseval.flaws import flaw_named
from xmguard_research.benchmarks.iseval.problems import Item, items
from xmguard_research.benchmarks.probes import Facts, Found, Probe, judged, measured, picture, scored
from xmguard_research.benchmarks.settings import Settings, some_of
from xmguard_research.scenes import draw

PER_CATEGORY = 12
GUIDE = (
    "Check first whether everything that the problem takes for granted is right, complete, relevant and clear. "
    "If something is not, say what is wrong. "
)
PROMPTS = {"spontaneous": "", "guided": GUIDE}
_NAMES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WORDS = {name: number for number, name in enumerate(_NAMES, 1)}


def names_flaw(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """Of a flawed problem: whether the response says what is wrong with it."""
    return _named(response, facts) if facts["flawed"] else None


def flaw_in_sound(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """Of a sound problem: whether the response says that this is wrong with it, which is a false alarm."""
    return None if facts["flawed"] else _named(response, facts)


def _named(response: str, facts: Facts) -> Found:
    words = flaw_named(facts["category"], response, question=facts["question"], term=facts["term"], unit=facts["unit"])
    return Found(bool(words), reason=words)


def goes_by_picture(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """Where picture and text name two numbers: the result that follows from the picture's is given alone."""
    return _goes_by(0, response, facts)


def goes_by_text(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """Where picture and text name two numbers: the result that follows from the text's is given alone."""
    return _goes_by(1, response, facts)


def _goes_by(side: int, response: str, facts: Facts) -> Found | None:
    if not facts["answers"]:
        return None
    said = _numbers(response)
    return Found(facts["answers"][side] in said and facts["answers"][1 - side] not in said)


def _numbers(text: str) -> frozenset[int]:
    digits = {int(found) for found in re.findall(r"(?<![\d.,])\d{1,9}(?![\d]|[.,]\d)", text)}
    return frozenset(digits | {_WORDS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _WORDS})


def _scorers(settings: Settings) -> Sequence[Scorer]:
    return [judged(settings), scored(names_flaw), scored(flaw_in_sound), scored(goes_by_picture), scored(goes_by_text)]


@measured(_scorers)
def iseval(
    per_category: int = PER_CATEGORY, asked: str = "spontaneous,guided", style: str = "noto", seed: int = 0
) -> Iterator[Probe]:
    """Small sums whose premises are flawed in one of seven ways, or sound; told in words, or with a picture."""
    prompts = some_of(PROMPTS, "asked", asked)
    return (
        probe
        for item in items(per_category, seed=seed)
        for pictured in (False, True)
        for flawed in (True, False)
        for probe in _probes(item, prompts, pictured, flawed, style)
    )


def _probes(item: Item, prompts: Sequence[str], pictured: bool, flawed: bool, style: str) -> Iterator[Probe]:
    text = item.text(flawed=flawed, pictured=pictured)
    shown = (picture("s1", draw(item.scene, style=style)),) if pictured else ()
    spans = (*shown, Span(f"s{len(shown) + 1}", text, language="en"))
    carrier, form = "picture" if pictured else "text", "flawed" if flawed else "sound"
    excluded = item.category == "exclusive" and flawed
    for prompt in prompts:
        question = PROMPTS[prompt] + item.query
        yield Probe(
            id=f"{item.id}/{carrier}/{form}/{prompt}",
            item=item.id,
            variant=f"{item.category} {carrier}",
            prompt=prompt,
            question=question,
            spans=spans,
            conflict=excluded if pictured else None,
            facts={
                "flawed": flawed,
                "category": item.category,
                "question": question,
                "term": item.words.term,
                "unit": item.words.unit,
                "answers": list(item.words.answers) if pictured and excluded else [],
            },
        )


def lines(per_category: int = PER_CATEGORY, seed: int = 0) -> list[Mapping[str, Any]]:
    """The items as values."""
    return [
        {
            "id": item.id,
            "category": item.category,
            "family": item.family,
            "scene": [item.scene.layout.name, item.scene.items, item.scene.look],
            "query": item.query,
            **{
                f"{carrier}_{form}": item.text(flawed=form == "flawed", pictured=carrier == "picture")
                for carrier in ("text", "picture")
                for form in ("flawed", "sound")
            },
            "answers": item.words.answers if item.category == "exclusive" else None,
        }
        for item in items(per_category, seed=seed)
    ]
