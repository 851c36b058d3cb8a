"""Content words and numbers of a text in any script, for the baselines and for telling whether texts are related.

Knows no grammar: words are compared as they are written, without regard to case.
"""

from __future__ import annotations

import re
import unicodedata

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, kana and Han: scripts that put no space between words; for a character class."""
_IS_UNSPACED = re.compile(rf"[{UNSPACED}]")
_WORD = re.compile(rf"[{UNSPACED}]+|[^\W{UNSPACED}]+")
_NUMBER = re.compile(r"(?<!\d)\d{1,3}(?:[.,' ]\d{3})+(?!\d)|\d+(?:[.,]\d+)?")
"""Three digits after a separator are thousands in any of the usual spellings; 8.125 is read as 8125 in every text."""
_GROUPED = re.compile(r"[.,' ](?=\d{3}(?!\d))")


def tokens(text: str) -> list[str]:
    """Words in order, case folded.

    A run in a script without spaces is cut into its pairs of neighbouring characters: 北京市 into 北京 and 京市.
    """
    found = []
    for word in _WORD.findall(text.casefold()):
        if _IS_UNSPACED.match(word) and len(word) > 1:
            found += [word[index : index + 2] for index in range(len(word) - 1)]
        else:
            found.append(word)
    return found


def content_words(text: str) -> set[str]:
    """Words without English stop words; other languages keep theirs."""
    return set(tokens(text)).difference(ENGLISH_STOP_WORDS)


def numbers(text: str) -> set[str]:
    """Numbers written in digits: thousands separators dropped, the decimal separator a point.

    Number words, and multiples such as 50万 for 500,000, are not understood.
    """
    found = _NUMBER.findall(unicodedata.normalize("NFKC", text))
    return {_GROUPED.sub("", number).replace(",", ".") for number in found}
