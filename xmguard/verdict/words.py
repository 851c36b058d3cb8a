"""Words of a text in a form that compares across wordings and, for numbers and cognates, across languages.

Knows no language: which words carry no content is handed in by the language's plugin.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection

_SIGN = r"\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"\d+(?:[.,\u066b\u066c]\d+)*|(?!\W)[{_SIGN}]|[^\W\d_{_SIGN}]+")
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*")
_NUMERALS = frozenset("〇零一二三四五六七八九十百千万亿萬億")
"""Ideographs that are numerals first of all; some others have a numeric value too, and mean land or attendance."""
SIMILAR = 0.75
"""Ratio of matching characters (Ratcliff and Obershelp) from which two longer words count as cognates."""
SHORTEST = 5
"""Letters of a word that may match a similar one; shorter words (Iran, Iraq) and numbers must be equal."""


def words(text: str) -> list[str]:
    """Folded words in order: compatibility forms, case, accents and other marks removed, numbers as `1234.5`.

    Scripts without spaces give one word per ideograph; an ideograph that is a numeral gives its digits.
    """
    decomposed = unicodedata.normalize("NFKD", text).casefold().replace("ı", "i")  # which is the capital I's, too
    bare = "".join(character for character in decomposed if not unicodedata.category(character).startswith("M"))
    return [_folded(word) for word in _WORD.findall(bare)]


def content_words(text: str, function_words: Collection[str]) -> list[str]:
    """The words that are not function words."""
    return [word for word in words(text) if word not in function_words]


def is_number(word: str) -> bool:
    """Whether a folded word is a number in digits."""
    return word[:1].isdecimal()


def found_in(word: str, others: Collection[str]) -> bool:
    """Whether a folded word, or a cognate of it, is among others."""
    if word in others:
        return True
    if is_number(word) or len(word) < SHORTEST:
        return False
    long = [other for other in others if len(other) >= SHORTEST and other[0] == word[0]]
    return bool(difflib.get_close_matches(word, long, n=1, cutoff=SIMILAR))


def _folded(word: str) -> str:
    if word in _NUMERALS:
        return str(int(unicodedata.numeric(word)))
    return _number(word) if is_number(word) else word


def _number(word: str) -> str:
    """Digits as ASCII without grouping and with a decimal point.

    "1,000" and "1.000" are read as a thousand: which of the two marks groups is for languages to say, and most numbers
    with three digits after one mark are whole.
    """
    digits = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in word)
    digits = digits.replace("\u066c", "")  # the Arabic marks are unambiguous
    if "\u066b" in digits:
        return digits.replace("\u066b", ".")
    if _GROUPED.fullmatch(digits):
        return re.sub(r"[.,]", "", digits)
    whole, mark, decimals = digits.rpartition("," if digits.rfind(",") > digits.rfind(".") else ".")
    if mark and _GROUPED.fullmatch(whole):
        return re.sub(r"[.,]", "", whole) + "." + decimals
    return digits.replace(",", ".")
