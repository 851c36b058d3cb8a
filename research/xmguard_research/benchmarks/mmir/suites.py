"""The suite `mmir`: what does not fit together on a page, said freely or chosen by number. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from inspect_ai.scorer import Scorer

from xmguard import AnswerResponse
from xmguard.languages.sentences import sentences
from xmguard_research.benchmarks.mmir.drawing import draw
from xmguard_research.benchmarks.mmir.page import Item, Page
from xmguard_research.benchmarks.mmir.page import items as made
from xmguard_research.benchmarks.mmir.poster import POSTER
from xmguard_research.benchmarks.mmir.slide import SLIDE
from xmguard_research.benchmarks.mmir.web import WEB
from xmguard_research.benchmarks.probes import Facts, Found, Probe, judged, measured, picture, scored
from xmguard_research.benchmarks.settings import Settings, some_of

PER_RELATION = 2
KINDS = (WEB, SLIDE, POSTER)
NOUNS = {"web": "web page", "slide": "slide", "poster": "poster"}
OPEN = (
    "Does everything on this {noun} fit together? If two of its elements contradict each other or do not go together, "
    "say which two and why."
)
CHOICE = (
    "These are the elements of this {noun}:\n{elements}\nAt most two of them do not fit together. "
    "Answer with their two numbers, or with none if everything fits."
)
PROMPTS = ("open", "choice")
_NUMBER = re.compile(r"(?<![\d€.,:])\d{1,2}(?![\d%]|[.,:]\d)")
_PAIR = re.compile(r"^\D{0,24}(\d{1,2})\s*(?:,|and|&|/|-)\s*(?:(?:number|element)\s+)?(\d{1,2})\b", re.IGNORECASE)
_NONE = re.compile(r"^\W*(?:the answer is\W*)?(?:none|everything fits|all (?:of them )?fit)\b", re.IGNORECASE)


def names_both(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """Of a page that does not fit: one sentence, or two in a row, name both elements by what they say or show."""
    if not facts["cues"]:
        return None
    cuts = [response[start:stop].lower() for start, stop in sentences(response, "en")]
    for near in [*cuts, *(f"{one} {other}" for one, other in pairwise(cuts))]:
        found = [next((cue for cue in cues if _says(near, cue)), "") for cues in facts["cues"]]
        if all(found):
            return Found(True, reason=" / ".join(found))
    return Found(False)


def chooses_both(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """Of a page that does not fit: the numbers of both elements and no other; one of the two scores a half."""
    if not facts["pair"]:
        return None
    said, right = numbers_in(response, facts["count"]), frozenset(facts["pair"])
    score = 0.0 if len(said) > 2 else len(said & right) / 2 if said != right else 1.0
    return Found(score == 1.0, {"score": score}, ", ".join(map(str, sorted(said))))


def leaves_alone(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found | None:
    """Of a page on which everything fits: the response says none, and no number."""
    if facts["pair"] is None or facts["pair"]:
        return None
    said = numbers_in(response, facts["count"])
    return Found(not said and _NONE.match(response.strip()) is not None, reason=", ".join(map(str, sorted(said))))


def numbers_in(response: str, count: int) -> frozenset[int]:
    """The elements that a response chooses: the pair that it begins with, or else every number of an element in it."""
    text = response.strip()
    pair = _PAIR.match(text)
    said = map(int, pair.groups() if pair is not None else _NUMBER.findall(text))
    return frozenset(number for number in said if 1 <= number <= count)


def _says(text: str, cue: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(cue.lower())}(?!\w)", text) is not None


def _scorers(settings: Settings) -> Sequence[Scorer]:
    return [judged(settings), scored(names_both), scored(chooses_both), scored(leaves_alone)]


@measured(_scorers)
def mmir(
    per_relation: int = PER_RELATION, asked: str = "open,choice", style: str = "noto", seed: int = 0
) -> Iterator[Probe]:
    """Web pages, slides and posters with two elements that do not fit together, and the same ones without."""
    prompts = some_of(PROMPTS, "asked", asked)
    return (
        probe
        for item in made(KINDS, per_relation, seed=seed)
        for page in (item.inconsistent, item.control)
        for probe in _probes(item, page, prompts, style)
    )


def _probes(item: Item, page: Page, prompts: Sequence[str], style: str) -> Iterator[Probe]:
    shown, broken = picture("s1", draw(page, style=style)), page.broken
    pair = [] if broken is None else [page.number(broken.first), page.number(broken.second)]
    noun = NOUNS[page.kind.name]
    for prompt in prompts:
        is_open = prompt == "open"
        elements = "\n".join(f"{number}. {one.says}" for number, one in enumerate(page.elements, 1))
        yield Probe(
            id=f"{page.id}/{prompt}",
            item=item.id,
            variant=item.relation.category,
            prompt=prompt,
            question=OPEN.format(noun=noun) if is_open else CHOICE.format(noun=noun, elements=elements),
            spans=(shown,),
            conflict=broken is not None if is_open else None,
            facts={
                "cues": [list(cues) for cues in broken.cues(page.values)] if is_open and broken is not None else [],
                "pair": None if is_open else pair,
                "count": len(page.elements),
            },
        )


def lines(per_relation: int = PER_RELATION, seed: int = 0) -> list[Mapping[str, Any]]:
    """The items as values."""
    return [
        {
            "id": item.id,
            "category": item.relation.category,
            "elements": [[one.name, one.says, one.drawn, one.shows] for one in item.inconsistent.elements],
            "control": [[one.name, one.says, one.drawn, one.shows] for one in item.control.elements],
            "pair": [item.inconsistent.number(item.relation.first), item.inconsistent.number(item.relation.second)],
            "cues": item.relation.cues(item.inconsistent.values),
            "look": item.control.look,
        }
        for item in made(KINDS, per_relation, seed=seed)
    ]
