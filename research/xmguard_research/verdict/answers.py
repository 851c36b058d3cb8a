"""What kind of answer a question has, what it looks like in a language, and where it stands in a paragraph.

Small explicit rules for English, Chinese, Turkish, Spanish and German, none of which knows grammar: a Turkish case
ending without an apostrophe goes unnoticed. Knows no data set.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import cache

from xmguard_research.verdict.words import UNSPACED

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_NUMBER_WORDS = {
    "en": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety",
    "es": "uno una dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
    "diecisiete dieciocho diecinueve veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "de": "ein eine einen einem einer eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "tr": "bir iki üç dört beş altı yedi sekiz dokuz on yirmi otuz kırk elli altmış yetmiş seksen doksan",
}
_WORDS_OF = {language: frozenset(words.split()) for language, words in _NUMBER_WORDS.items()}
_MULTIPLES = "hundred|thousand|million|billion|trillion"
_NUMBER = re.compile(
    rf"[£$€]?\d[\d,.]*(?: ?%| percent| (?:{_MULTIPLES}))?"
    rf"|(?:{'|'.join(_NUMBER_WORDS['en'].split())})(?: (?:{_MULTIPLES}))?",
    flags=re.IGNORECASE,
)
_YEAR = re.compile(r"(?:in )?(?:1\d{3}|20\d\d)")
_DATE = re.compile(rf"(?:\d{{1,2}} )?(?:{_MONTHS})(?: \d{{1,2}})?(?:,? \d{{4}})?|(?:early |late |the )?(?:1\d|20)\d0s")
_PARTICLES = frozenset(("of", "the", "and", "de", "la", "von", "van", "der", "for"))
_MAX_NAME_WORDS = 5
_SENTENCE_END = ".!?:;\n"
_CJK_NUMERAL = re.compile(r"[〇零一二两三四五六七八九十百千万亿]+")
_CJK = re.compile(rf"[{UNSPACED}]+")
_LETTERS = re.compile(rf"[^\W\d_{UNSPACED}]+")


class Kind(Enum):
    """Answers of one kind can stand for each other."""

    YEAR = "year"
    DATE = "date"
    NUMBER = "number"
    PERSON = "name, asked for by who"
    PLACE = "name, asked for by where, city or country"
    NAME = "name, asked for otherwise"

    @property
    def is_name(self) -> bool:
        """Whether it is one of the names."""
        return self in (Kind.PERSON, Kind.PLACE, Kind.NAME)


def kind_of(question: str, answer: str, paragraph: str, start: int) -> Kind | None:
    """Kind of an English answer, at `start` in its paragraph; None for any other, such as a phrase.

    Years, dates and numbers are whole answers of that form. A name is at most five words that begin with a
    capital, particles aside, without a digit; a single word has to stand inside a sentence, where its capital means
    something.
    """
    bare = answer.strip().rstrip(".,")
    for kind, form in ((Kind.YEAR, _YEAR), (Kind.DATE, _DATE), (Kind.NUMBER, _NUMBER)):
        if form.fullmatch(bare):
            return kind
    words = bare.split()
    proper = [word for word in words if word not in _PARTICLES]
    if not proper or len(words) > _MAX_NAME_WORDS or any(not word[0].isupper() for word in (words[0], *proper)):
        return None
    before = paragraph[:start].rstrip().rstrip("\"'“(")
    begins_sentence = not before or before[-1] in _SENTENCE_END
    if any(character.isdigit() for character in bare) or (len(words) == 1 and begins_sentence):
        return None
    asked = question.lower()
    if re.search(r"\b(who|whom|whose)\b", asked):
        return Kind.PERSON
    return Kind.PLACE if re.search(r"\b(where|city|cities|country|countries|state|continent)\b", asked) else Kind.NAME


@cache
def shape(answer: str, language: str, kind: Kind) -> str:
    """What an answer looks like in its language: answers of one shape fit into each other's sentence, roughly.

    Digits become 0, number words n, capitalised words X and acronyms XX, in names also what has no case; everything
    else (units, measure words, articles, endings after an apostrophe, punctuation) stays.
    """
    shaped = re.sub(r"\d", "0", answer)
    if kind.is_name:
        shaped = _CJK.sub("X", shaped)
    elif language == "zh":
        shaped = _CJK_NUMERAL.sub("n", shaped)
    months = kind is Kind.DATE
    return _LETTERS.sub(lambda found: _letters(found[0], _WORDS_OF.get(language, frozenset()), months), shaped)


def occurrences(answer: str, text: str) -> list[int]:
    """Offsets at which an answer stands in a text for itself, without regard to case.

    It does not within a longer word ("one" in "someone") or number ("5" in "1956" or "8.5"). In scripts without
    spaces only the edges that are digits or Latin letters are looked at.
    """
    return [found.start() for found in _pattern(answer).finditer(text)]


def replaced(answer: str, text: str, other: str) -> str:
    """The text with another answer wherever the answer stands."""
    return _pattern(answer).sub(lambda _: other, text)


def remains(answer: str, text: str, kind: Kind) -> bool:
    """Whether anything of an answer is left.

    Of a name, any mention inside a longer word ("Newtons"), and every word of a person's name that has a capital.
    """
    if not kind.is_name:
        return bool(occurrences(answer, text))
    parts = re.findall(r"[^\W\d_]{3,}", answer) if kind is Kind.PERSON else []
    return answer.casefold() in text.casefold() or any(occurrences(part, text) for part in parts if part[0].isupper())


def _letters(word: str, number_words: frozenset[str], months: bool) -> str:
    if word.lower() in number_words:
        return "n"
    if word in ("X", "n"):  # what was shaped already
        return word
    if word[0].isupper():
        return "XX" if len(word) > 1 and word.isupper() else "X"
    return "x" if months and len(word) > 2 else word


@cache
def _pattern(answer: str) -> re.Pattern[str]:
    word = rf"[^\W{UNSPACED}]"
    before = rf"(?<!{word})" if re.match(word, answer) else ""
    after = rf"(?!{word})" if re.match(word, answer[-1]) else ""
    before += r"(?<!\d[.,])" if answer[0].isdigit() else ""
    after += r"(?![.,]\d)" if answer[-1].isdigit() else ""
    # Ignoring case is for the answer only: the classes around it are large, and slow to compile without case.
    return re.compile(f"{before}(?i:{re.escape(answer)}){after}")
