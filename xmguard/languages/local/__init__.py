"""The engine of languages that are given as tables. Plugins build their languages with it; see `plugins/README.md`.

An answer's numbers, dates, times and units are rewritten into the notation that `AnswerReader` reads, and what is left
is read by it. So a language reads English answers as well: models are asked for those, and copy what they do not
translate. Where English reads all of an answer, and otherwise, the answer stays text. Where English reads nothing
("1.500", "03/04/2024"), the language's own notation holds; what it writes as English does, but for another number
("1,234"), is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from xmguard.evidence import AnswerKind, NormalizedAnswer
from xmguard.languages.english import phrases
from xmguard.languages.english.cleaning import FUNCTION_WORDS, clean
from xmguard.languages.english.units import CURRENCY_SIGNS
from xmguard.languages.folding import folded, substitute
from xmguard.languages.local.checks import check
from xmguard.languages.local.dates import Dates
from xmguard.languages.local.numbers import Numbers, single_words
from xmguard.languages.local.tables import NumberWords, Tables
from xmguard.languages.local.units import Units
from xmguard.languages.reading import AnswerReader, as_it_is
from xmguard.languages.sentences import sentences
from xmguard.prompt_text import PromptText

__all__ = ["LocalLanguage", "NumberWords", "Tables"]

_NEVER = "(?!)"
_GROUP = re.compile(r"\\(\d)")
_CAPITAL = re.compile(r"(?<![^\W_])[^\W\d_]+(?= [\d$€£¥₺])")
_BETWEEN = re.compile(r"[\s;。-]+|(?<=\d)[.,:/'](?=\d)")
_YEAR = re.compile(r"[12]\d{3}")
_END = r"(\d+(?:\.\d+)?)"
_ALONE_OR_DEGREES = r"\d+(?:[.,]\d+)?(?:\W*$| ?(?:°|%|gra(?:d|u)|degre|derece|grað))"
_COMPARED = frozenset({AnswerKind.NUMBER, AnswerKind.DATE, AnswerKind.TIME})
_ENGLISH = AnswerReader(FUNCTION_WORDS, phrases.says_unknown, phrases.yes_or_no)
_SENTENCE_END = re.compile(r"[.!?。！？\n]+")


def _glued(text: str) -> str:
    """The text as one word with no number in it that anybody reads."""
    return _BETWEEN.sub("_", text)


class LocalLanguage:
    """A language out of its tables. Satisfies `xmguard.contracts.Language`."""

    def __init__(self, tables: Tables, prepare: Callable[[str], str] = as_it_is) -> None:
        """`prepare` rewrites a cleaned answer first, for a script that tables cannot describe.

        Raises:
            ValueError: the tables cannot be what is meant; see `xmguard.languages.local.checks`.
        """
        check(tables)
        self.tag = tables.tag
        self.name = tables.name
        self.prompt_text: PromptText = tables.prompt_text
        self.function_words: Collection[str] = frozenset(tables.function_words.split())
        self.number_words: Mapping[str, str] = single_words(tables.numbers)
        telling = frozenset(tables.telling.split())
        if both := self.function_words & telling:
            raise ValueError(f"{self.name}: {sorted(both)} cannot be both function words and telling; name each once")
        self._no_names = (self.function_words | telling) - {"no"}  # "No 5"
        self._own_signs = [sign for sign, unit in tables.signs.items() if CURRENCY_SIGNS.get(sign, unit) != unit]
        self._minus = re.compile(rf"(?<!\w)(?:{tables.minus or _NEVER}) (?=\d)")
        self._below_zero = re.compile(rf"^\W*(?:{tables.minus or _NEVER}) (?={_ALONE_OR_DEGREES})")
        self._unread = re.compile(tables.unread or _NEVER)
        self._prepare = prepare
        self._abbreviations = frozenset(tables.abbreviations.split())
        self._units = Units(tables.units, tables.signs, tables.unit_link)
        self._numbers = Numbers(tables, self._units.pattern)
        self._dates = Dates(tables)
        self._rewrites, self._rewrites_of_numbers = (
            [(re.compile(pattern), template) for pattern, template in rewrites]
            for rewrites in (tables.rewrites, tables.rewrites_of_numbers)
        )
        self._ranges = [
            re.compile(rf"(?<![\w.,:/'-]){pattern.replace('#', _END)}(?= ?[^\W\d]| ?[%€$£¥₺°])")
            for pattern in tables.ranges
        ]
        self._when = re.compile(rf"(?<!\w)(?:{tables.when or _NEVER}) (?=[12]\d{{3}}(?!\w|[.,-]\d))")
        self._but = re.compile(rf"(?<=\w),? (?:{tables.but or _NEVER}) |, ?(?:{tables.but or _NEVER})")
        alone = r"(?=\s*(?:$|[^\w\s]))"
        self._polar = {
            "yes": re.compile(rf"^\W*(?:{tables.yes}){alone}"),
            "no": re.compile(rf"^\W*(?:{tables.no})(?!\.\s*\d){alone}"),
        }
        self._unknown = re.compile(tables.unknown)
        self._conflict, self._no_conflict = re.compile(tables.conflict), re.compile(tables.no_conflict)
        self._asks_number = re.compile(tables.asks_number)
        self._reader = AnswerReader(
            self.function_words | FUNCTION_WORDS, self._says_unknown, self._yes_or_no, self._translate, folded, telling
        )

    def normalize(self, answer: str) -> NormalizedAnswer:
        """Reduce a short answer, in this language or in English, to its claim; see `AnswerReader`."""
        own = self._reader.normalize(answer)
        if own.kind not in _COMPARED or not self._disputed(own, _ENGLISH.normalize(answer), answer):
            return own
        return self._reader.normalize(_glued(clean(answer)))

    def asks_for_number(self, question: str) -> bool:
        """Whether a question, in this language or in English, asks for a number, a measure or a date."""
        return self._asks_number.search(folded(question)) is not None or phrases.asks_for_number(question)

    def reports_conflict(self, answer: str) -> bool:
        """Whether a sentence of the answer says that its sources disagree, and does not take that back."""
        # Taken back in this language, a disagreement is taken back for English as well, which shares many words.
        said = [one for one in _SENTENCE_END.split(clean(answer)) if not self._no_conflict.search(folded(one))]
        return any(self._conflict.search(folded(one)) for one in said) or phrases.reports_conflict(". ".join(said))

    def sentences(self, text: str) -> Sequence[tuple[int, int]]:
        """Half-open character ranges of the sentences."""
        return sentences(text, self.tag, self._abbreviations)

    def _disputed(self, own: NormalizedAnswer, english: NormalizedAnswer, answer: str) -> bool:
        """Whether English understands every word of the answer, and otherwise."""
        if english.kind not in _COMPARED or english.words:
            return False
        units = {own.unit, english.unit} - {""}
        other_unit = len(units) > 1 and not any(sign in answer for sign in self._own_signs)
        return (own.kind, own.value) != (english.kind, english.value) or other_unit

    def _translate(self, text: str) -> str:
        if self._unread.search(folded(text)):
            text = _glued(text)
        text = _CAPITAL.sub(self._small, self._prepare(text))
        for pattern, template in self._rewrites:
            text = _rewritten(pattern, template, text)
        text = self._numbers.digits(self._dates.rewrite(text))
        text = substitute(self._below_zero, self._numbers.words(text), lambda match: "-")
        if self._minus.search(folded(text)):  # "5 fewer", or a subtraction
            text = _glued(text)
        for pattern in self._ranges:
            text = substitute(pattern, text, _range)
        for pattern, template in self._rewrites_of_numbers:
            text = _rewritten(pattern, template, text)
        text = self._units.rewrite(text)
        text = substitute(self._when, text, lambda match: "in ")
        return substitute(self._but, text, lambda match: ". ")

    def _small(self, match: re.Match[str]) -> str:
        """A word of the language that only stands first; in front of a number it would make a name ("Apollo 11")."""
        return match[0].lower() if folded(match[0]) in self._no_names else match[0]

    def _says_unknown(self, clause: str) -> bool:
        return self._unknown.search(folded(clause)) is not None or phrases.says_unknown(clause)

    def _yes_or_no(self, text: str) -> str:
        bare = folded(text)
        own = next((value for value, pattern in self._polar.items() if pattern.search(bare)), "")
        return own or phrases.yes_or_no(text)


def _range(match: re.Match[str]) -> str | None:
    """The ends as one word; a year in front only tells when: "mató en 2021 a 25 personas"."""
    return None if _YEAR.fullmatch(match[1]) else f"{match[1]}-{match[2]}"


def _rewritten(pattern: re.Pattern[str], template: str, text: str) -> str:
    """Replace finds by a template, in which groups are as the text itself writes them."""
    return substitute(
        pattern, text, lambda match: _GROUP.sub(lambda group: text[slice(*match.span(int(group[1])))], template)
    )
