"""Cuts an answer into clauses and words, so that spelling variants of one claim look alike.

Knows the shape of English words and of written numbers, not what either means.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from xmguard.languages.english.units import currency_before

ARTICLES = frozenset({"a", "an", "the"})

_GRAMMAR = """
    about above after all almost also among an and answer approximately are around as at be because been before below
    between both but by circa did do does during each estimated every exactly for from had has have he her his i in into
    is it its just least less more most nearly not of on only or our over per roughly she since so some still than that
    their them there these they this those to total under until up was we were which who will with would yes you your
"""

FUNCTION_WORDS = ARTICLES | frozenset(_GRAMMAR.split())
"""Words that carry no claim of their own next to a number: "about 25" and "there were 25" claim `25`."""
_ASKING = "what when where whose whom why how can could should may might must shall there"

QUESTION_WORDS = frozenset(_ASKING.split())
"""Words that only ask, beside those above."""
_TELLING = """
    above after all before below between both by during each every from just least less more most nearly not only over
    per since than to under until up
"""

TELLING_WORDS = frozenset(_TELLING.split())
"""Function words that tell claims apart all the same: "before the storm" and "after the storm", "by 5%" and "to 5%"."""

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
_QUOTES = {ord("\u2018"): "'", ord("\u2019"): "'", ord("\u201c"): '"', ord("\u201d"): '"'}
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"

# Only the spaces that typography reserves for it group digits: with plain ones "rooms 10 200" would become 10200.
_GROUPED_BY_SPACE = re.compile(r"(?<![\d.,])\d{1,3}(?:[\u00a0\u2009\u202f]\d{3})+(?!\d)")
# Without a mark of its own, NFKC would make 106 of ten to the sixth, and another number of one with a note's.
_RAISED = re.compile(r"(?<=\d)(?=[⁰¹²³⁴-⁹⁺⁻])")
# Of the full-width marks only those that NFKC leaves as they are.
_CLAUSE_END = re.compile(r"(?<=[.!?])\s+|[。;\n]+|,?\s+(?:but|although|though|however|whereas)\b,?\s*")
_NO_SENTENCE_END = re.compile(
    r"\b(?:approx|ca|no|mr|mrs|ms|dr|st|vs|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.$", re.IGNORECASE
)
_ABBREVIATION = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_EDGES = "\"'()[]{}<>*_`,;:!?。、…|=~≈"


def clean(answer: str) -> str:
    """Compatibility forms folded (full-width digits, ligatures), one kind of dash, quote and space."""
    text = _GROUPED_BY_SPACE.sub(lambda match: re.sub(r"\s", "", match[0]), answer)
    text = unicodedata.normalize("NFKC", _RAISED.sub("^", text)).translate(_DASHES).translate(_QUOTES)
    text = re.sub(r"[^\S\n]+", " ", text)
    return _ABBREVIATION.sub(lambda match: match[0].replace(".", ""), text).strip()


def clauses(text: str) -> list[str]:
    """Cleaned text cut at sentence ends and before contrasting conjunctions."""
    pieces: list[str] = []
    start = 0
    for end in _CLAUSE_END.finditer(text):
        piece = text[start : end.start()]
        if end[0].isspace() and "\n" not in end[0] and _NO_SENTENCE_END.search(piece):
            continue
        pieces.append(piece)
        start = end.end()
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if any(character.isalnum() for character in piece)]


def words(text: str) -> list[str]:
    """Cleaned text as words, case kept, punctuation dropped.

    Hyphens part words ("double-decker") and a number from its noun ("25-year"), but stay inside numeric expressions
    ("10-12"). A number that belongs to a name is glued to it, so that "Covid-19", "Apollo 11" and "Apollo-11" are
    names and not quantities.
    """
    text = re.sub(rf"(?<=[{_IDEOGRAPH}])(?=[\d$€£¥])|(?<=%)(?=[{_IDEOGRAPH}])", " ", text)
    text = re.sub(r"(?<=[^\W\d_])-(?=\d)", "", text)
    text = re.sub(r"(?<=[^\W_])-+(?=[^\W\d_])|(?<=[^\W\d_])/(?=[^\W\d_]{3})|--+", " ", text)
    text = re.sub(r"(?<=[^\W\d_])'s\b|(?<=s)'(?=\s|$)", "", text)
    found = (word.strip(_EDGES).rstrip(".-/").strip(_EDGES) for word in text.split())
    return _glue_names([word for word in found if any(c.isalnum() or c in "%$€£¥" for c in word)])


def _glue_names(found: Sequence[str]) -> list[str]:
    glued: list[str] = []
    for word in found:
        previous = glued[-1] if glued else ""
        if word.isascii() and word.isdigit() and _is_name(previous):
            glued[-1] = previous + word
        else:
            glued.append(word)
    return glued


def _is_name(word: str) -> bool:
    return (
        len(word) > 1
        and word.isalpha()
        and word[0].isupper()
        and word.casefold() not in FUNCTION_WORDS
        and not currency_before(word)
    )
