"""CMQA by the paper's protocol: a photograph and its answer, descriptions that agree and contradict, drawn pictures.

The second wordings and the second drawn picture make the controls, which the paper does not have. Knows neither
endpoints nor where anything is kept.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xmguard_research.benchmarks.cmqa.items import PAIRS, VARIANTS
from xmguard_research.benchmarks.cmqa.telling import Telling
from xmguard_research.benchmarks.generated import checks
from xmguard_research.benchmarks.generated.album import Album
from xmguard_research.benchmarks.generated.pairs import Item, Source
from xmguard_research.benchmarks.generated.prompts import Prompts
from xmguard_research.benchmarks.generated.writer import Unwritten, Writer
from xmguard_research.benchmarks.vqa.questions import Asked

WORDS = (60, 240)
"""Fewer or more words in a description are malformed; the prompt asks for 100 to 150."""
CALLS = {"description": 1, "contradiction": 1, "wording": 2, "picture": 2}
"""Of a triple."""
SEEING = frozenset(("description", "contradiction"))
"""Steps that are shown the photograph."""
DRAWN = frozenset(("picture",))
"""Steps that are a picture."""
_IMAGE_PAIRS = {"ab": ("a", "b"), "ba": ("b", "a"), "aa": ("a", "c"), "aa-swapped": ("c", "a")}
"""Two pictures: c shows what a shows, but is drawn as b is, so that each pair is a photograph and a drawn picture."""


@dataclass(frozen=True)
class Makers:
    """Who makes what, and what they are told."""

    writer: Writer
    artist: Writer
    """Of whose replies the text is the name of a picture in the album."""
    album: Album
    prompts: Prompts


def of_triple(makers: Makers, asked: Asked, number: int) -> list[Item]:
    """Items of a question about a photograph: in each of `VARIANTS` two conflicts and two controls.

    Args:
        makers: who is asked.
        asked: the photograph, the question and its answer.
        number: of the triple; by it wordings take turns.

    Raises:
        Unwritten: something could not be had; then the triple has no items.
    """
    writer, prompts, question = makers.writer, makers.prompts, asked.question
    try:
        data = asked.picture.read_bytes()
        photograph = makers.album.keep(data)
    except (OSError, ValueError) as error:
        raise Unwritten(f"photograph: {asked.picture.name}: {error}") from error
    shown = f"data:{makers.album.media(photograph).media_type};base64,{b64encode(data).decode()}"

    def seen(step: str, **values: str) -> list[dict[str, Any]]:
        text = {"type": "text", "text": prompts.fill(step, question=question, answer=asked.answer, **values)}
        return [text, {"type": "image_url", "image_url": {"url": shown}}]

    def contradicting(reply: dict[str, Any]) -> tuple[str, Telling]:
        answer = checks.text(reply["answer"], "the answer")
        if checks.letters(answer) in {checks.letters(one) for one in asked.others}:
            raise ValueError(f"the answer {answer!r} is one that people gave to the photograph")
        return answer, _telling(reply)

    def reworded(told: Telling) -> Telling:
        prompt = prompts.fill("wording", description=told.text, question=question, quote=told.sentence)
        return writer.write("wording", prompt, lambda reply: _other_than(told, _telling(reply)))

    def drawn(told: Telling, answer: str) -> str:
        prompt = prompts.fill("picture", description=told.text, question=question, answer=answer)
        return makers.artist.make("picture", prompt, makers.album.there)

    agreeing = writer.write("description", seen("description"), _telling)
    answer, other = writer.write("contradiction", seen("contradiction", description=agreeing.text), contradicting)
    texts = {
        "a": [Source(asked.answer, told) for told in (agreeing, reworded(agreeing))],
        "b": [Source(answer, told) for told in (other, reworded(other))],
    }
    pictures = {
        "a": Source(asked.answer, picture=photograph),
        "b": Source(answer, picture=drawn(other, answer), is_drawn=True),
        "c": Source(asked.answer, picture=drawn(agreeing, asked.answer), is_drawn=True),
    }
    return [
        Item(f"{asked.name}/{variant}/{pair}", asked.name, asked.kind, variant, pair, question, sources)
        for variant in VARIANTS
        for pair, sources in _pairs(variant, texts, pictures, number % 2)
    ]


def _pairs(
    variant: str, texts: dict[str, list[Source]], pictures: dict[str, Source], turn: int
) -> Iterator[tuple[str, tuple[Source, Source]]]:
    """Wordings take turns at the first place; a lone text has the one whose turn it is."""
    match variant:
        case "text-text":
            for pair in PAIRS:
                yield pair, (texts[pair[0]][turn], texts[pair[1]][1 - turn])
        case "text-image":
            for pair in PAIRS:
                yield pair, (texts[pair[0]][turn], pictures[pair[1]])
        case "image-text":
            for pair in PAIRS:
                yield pair, (pictures[pair[0]], texts[pair[1]][turn])
        case _:
            for pair, (first, second) in _IMAGE_PAIRS.items():
                yield pair, (pictures[first], pictures[second])


def _telling(reply: dict[str, Any]) -> Telling:
    text, quote = checks.quoted(reply, "description")
    checks.within(text, WORDS, "description")
    start = text.index(quote)
    return Telling(text, start, start + len(quote))


def _other_than(first: Telling, second: Telling) -> Telling:
    if checks.letters(second.text) == checks.letters(first.text):
        raise ValueError("the second wording is the first one")
    return second
