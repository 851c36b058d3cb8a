"""A pair as a caller would send it. Draws its pictures; knows no labels."""

from __future__ import annotations

from xmguard import AnswerRequest, Media, Span
from xmguard_research.verdict.pairs import Pair, Picture

PNG = "image/png"


def request_of(pair: Pair) -> AnswerRequest:
    """Both sources as spans `s1` and `s2`, and the question; raises what `Picture.png` raises."""
    sources = zip(("s1", "s2"), pair.texts, pair.pictures, pair.languages, strict=True)
    return AnswerRequest(spans=tuple(_span(*source) for source in sources), question=pair.question)


def _span(name: str, text: str, picture: Picture | None, language: str) -> Span:
    if picture is None:
        return Span(name, text, language=language)
    return Span(name, media=Media(PNG, picture.png()), language=language)
