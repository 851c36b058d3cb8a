"""Words of a text in a form that compares across wordings and, for numbers and cognates, across languages.

Knows no language: which words carry no content is handed in by the language's plugin.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection

_WORD = re.compile(r"\d+(?:[.,\u066b\u066c]\d+)*|[^\W\d_]+")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_GROUPED = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
SIMILAR = 0.75
"""Ratio of matching characters (Ratcliff and Obershelp) from which two longer words count as cognates."""
SHORTEST = 4
"""Letters of a word that may match a similar one; shorter words and numbers must be equal."""


def words(text: str) -> list[str]:
    """Folded words in order: compatibility forms, case and accents removed, digits grouped in threes joined.

    Scripts without spaces give one word per ideograph; an ideograph that is a numeral gives its digits.
    """
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    found: list[str] = []
    for word in _WORD.findall(bare):
        if word[0].isdecimal():
            digits = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in word)
            found.append(re.sub(r"[.,]", "", digits) if _GROUPED.fullmatch(digits) else digits.replace(",", "."))
        elif _IDEOGRAPH.search(word):
            found += [_numeral(character) for character in word]
        else:
            found.append(word)
    return found


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


def _numeral(character: str) -> str:
    value = unicodedata.numeric(character, None)
    return character if value is None or value != int(value) else str(int(value))
