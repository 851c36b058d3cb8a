"""The suite `xmodbench`: every item in four directions. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inspect_ai.scorer import Scorer
from PIL import Image

from xmguard import AnswerResponse, Span
from xmguard_research.benchmarks.blank import blank
from xmguard_research.benchmarks.probes import Facts, Found, Probe, measured, picture, rules_alone, scored
from xmguard_research.benchmarks.settings import Settings
from xmguard_research.benchmarks.xmodbench.items import LETTERS, Item, items
from xmguard_research.scenes import draw

PER_SUBTASK = 8
MODALITIES = ("text", "image")
_STRIP = 28
"""Pixels above a picture of 224, for its letter."""
_ARTICLE = r"[^\S\n]+(?!(?:because|since|as|is|has|shows|the|it|this)\b)\w"
_CALLED = r"(?:option|answer|choice|letter|source)"
_JOINED = rf"\s*(?:,|/|&|and\b|or\b)\s*(?:{_CALLED}\b)?\W*(?-i:[A-D])\b"
_ONE = rf"((?!A{_ARTICLE})[A-D])\b(?!['’]|-\w)(?!{_JOINED})"
"""A letter by itself: neither the article before a noun nor one of several that are joined."""
_LETTER = re.compile(rf"^\W*(?:{_CALLED}\W+)?{_ONE}", re.IGNORECASE)
_NAMED = re.compile(
    rf"\b(?:{_CALLED}|choose|pick|select)\b\W*(?:is\b\W*)?(?:(?:the\s+)?{_CALLED}\b\W*)?\b{_ONE}|\(([A-D])\)",
    re.IGNORECASE,
)
_SEVERAL = re.compile(rf"\b[A-D]{_JOINED}", re.IGNORECASE)


def right_option(response: str, facts: Facts, guarded: AnswerResponse | None) -> Found:
    """The response chooses the right option; one that chooses none, or several, is wrong."""
    said = chosen(response, facts["values"])
    return Found(said == facts["right"], {"chose": float(said is not None)}, "" if said is None else LETTERS[said])


def chosen(response: str, values: Sequence[str]) -> int | None:
    """The option that a response chooses: by a letter in front or one that is called so, or by its value alone."""
    text = response.strip()
    if (first := _LETTER.match(text)) is not None:
        return LETTERS.index(first[1].upper())
    if _SEVERAL.search(text):
        return None
    named = {letter.upper() for pair in _NAMED.findall(text) for letter in pair if letter}
    if named:
        return LETTERS.index(named.pop()) if len(named) == 1 else None
    lower = text.lower()
    said = [
        index for index, value in enumerate(values) if re.search(rf"(?<![\w.]){re.escape(value)}(?![\w]|\.\d)", lower)
    ]
    return said[0] if len(said) == 1 else None


def _scorers(settings: Settings) -> Sequence[Scorer]:
    rules_alone(settings)
    return [scored(right_option)]


@measured(_scorers)
def xmodbench(per_subtask: int = PER_SUBTASK, style: str = "noto", seed: int = 0) -> Iterator[Probe]:
    """Which of four options has what the first source has? Context and options as text or as pictures."""
    return (probe for item in items(per_subtask, seed=seed) for probe in _probes(item, style))


def _probes(item: Item, style: str) -> Iterator[Probe]:
    drawn = draw(item.context, style=style)
    lettered = [_lettered(draw(one, style=style), LETTERS[index]) for index, one in enumerate(item.options)]
    contexts = {"text": Span("s1", item.context_text, language="en"), "image": picture("s1", drawn)}
    options = {
        "text": [
            Span(f"s{2 + index}", f"{LETTERS[index]}. {text}", language="en")
            for index, text in enumerate(item.option_texts)
        ],
        "image": [picture(f"s{2 + index}", one) for index, one in enumerate(lettered)],
    }
    for context in MODALITIES:
        for candidates in MODALITIES:
            yield Probe(
                id=f"{item.id}/{context}-{candidates}",
                item=item.id,
                variant=f"{context}-{candidates} {item.subtask}",
                prompt="standard",
                question=item.question,
                spans=(contexts[context], *options[candidates]),
                conflict=None,
                facts={"right": item.right, "values": list(item.values)},
            )


def _lettered(drawn: Image.Image, letter: str) -> Image.Image:
    """The picture below a white strip with its letter."""
    strip = blank((255, 255, 255), drawn.width)
    at = (112.0, _STRIP / 2)
    strip.text(letter, at, face="DejaVuSans-Bold", size=_STRIP - 6, colour=(20, 20, 24), anchor="mm")
    made = Image.new("RGB", (drawn.width, drawn.height + _STRIP), (255, 255, 255))
    made.paste(strip.image.crop((0, 0, drawn.width, _STRIP)), (0, 0))
    made.paste(drawn, (0, _STRIP))
    return made


def lines(per_subtask: int = PER_SUBTASK, seed: int = 0) -> list[Mapping[str, Any]]:
    """The items as values."""
    return [
        {
            "id": item.id,
            "subtask": item.subtask,
            "question": item.question,
            "scenes": [[scene.layout.name, scene.items, scene.look] for scene in (item.context, *item.options)],
            "context": item.context_text,
            "options": item.option_texts,
            "right": LETTERS[item.right],
        }
        for item in items(per_subtask, seed=seed)
    ]
