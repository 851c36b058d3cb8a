"""Reads the claim out of an answer whose numbers, dates and units are in the notation of this package's English.

A language hands in what it says otherwise: its function words, its ways to say "not stated", yes and no, and a
translation of its own notation into this one. Knows neither the question nor the other answers, so where a reading
could be wrong the answer stays TEXT: an unread number only leaves a verdict open, a misread one makes a false conflict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from xmguard.evidence import AnswerKind, NormalizedAnswer
from xmguard.languages.english.cleaning import ARTICLES, TELLING_WORDS, clauses, clean, words
from xmguard.languages.english.dates import find_dates
from xmguard.languages.english.numerals import Quantity, canonical, find_quantities
from xmguard.languages.english.times import find_times

MAX_WORDS_BESIDE_NUMBER = 6
"""More content words than this beside a bare number make it incidental: the answer stays TEXT."""
MAX_WORDS_BESIDE_MEASURE = 12
"""The same beside a date, a time or a number with a unit, which is seldom incidental in a short answer."""

_NONE = NormalizedAnswer(AnswerKind.NONE, "")
_MAX_PASSES = 4
_GLUED = re.compile(r"(?<=[^\W\d_])(?=\d)")
"""Where folding glued a number to a name, as in "march3"."""


def as_it_is(text: str) -> str:
    """The same text: of a language whose notation needs no rewriting."""
    return text


@dataclass(frozen=True)
class AnswerReader:
    """What one language brings to the reading of its answers."""

    function_words: Collection[str]
    """Words that carry no claim of their own next to a number, as `fold` folds them."""
    says_unknown: Callable[[str], bool]
    """Whether a clause says that the answer is not stated or not known."""
    yes_or_no: Callable[[str], str]
    """`yes` or `no` when an answer opens with one, else an empty string."""
    translate: Callable[[str], str] = as_it_is
    """A cleaned answer with its quantities, dates and times written as in English; the rest left in place."""
    fold: Callable[[str], str] = str.casefold
    telling_words: Collection[str] = frozenset()
    """Words, folded by `fold`, that tell claims apart as English's own `TELLING_WORDS` do."""

    def normalize(self, answer: str) -> NormalizedAnswer:
        """Reduce a short answer to its claim.

        "Not stated" is recognised first, then yes/no, a single date, time or quantity; the rest is folded text.
        Folding may uncover a claim ("the 'unknown'"), so it is read again until nothing changes.
        """
        reading = self._read(answer)
        for _ in range(_MAX_PASSES):
            if reading.kind is not AnswerKind.TEXT:
                break
            again = self._read(reading.value)
            if again == reading:
                break
            reading = again
        return reading

    def _read(self, answer: str) -> NormalizedAnswer:
        said = clauses(self.translate(clean(answer)))
        if not said or self.says_unknown(said[0]):
            return _NONE
        # "25 percent, although the year is not stated": what follows the claim does not take it back.
        text = ". ".join(clause for clause in said if not self.says_unknown(clause))
        found = words(text)
        quantities = find_quantities(found)
        if polarity := self.yes_or_no(text):
            beside = self._telling(found, quantities) - {found[0].casefold()}
            return NormalizedAnswer(
                AnswerKind.BOOLEAN, polarity, words=beside, quantities=self._named(found, quantities)
            )
        return self._date(text) or self._time(text) or self._number(found, quantities) or self._text(found, quantities)

    def _date(self, text: str) -> NormalizedAnswer | None:
        """The date, if the answer names exactly one and no quantity beside it."""
        dates = find_dates(text)
        if len({date.value for date in dates}) != 1:
            return None
        beside = self._words_beside(text, [(date.start, date.stop) for date in dates])
        return (
            None
            if beside is None
            else NormalizedAnswer(AnswerKind.DATE, dates[0].value, words=self._telling(beside, []))
        )

    def _time(self, text: str) -> NormalizedAnswer | None:
        """The time of day, if the answer names exactly one and neither a date nor a quantity beside it."""
        times = find_times(text)
        if len({(time.value, time.half) for time in times}) != 1 or find_dates(_GLUED.sub(" ", text)):
            return None
        beside = self._words_beside(text, [(time.start, time.stop) for time in times])
        if beside is None:
            return None
        return NormalizedAnswer(AnswerKind.TIME, times[0].value, times[0].half, words=self._telling(beside, []))

    def _words_beside(self, text: str, taken: list[tuple[int, int]]) -> list[str] | None:
        """The words outside of what was taken; None if a quantity is among them or there are too many."""
        for start, stop in reversed(taken):
            text = text[:start] + " " + text[stop:]
        beside = words(text)
        return None if find_quantities(beside) or self._content(beside, []) > MAX_WORDS_BESIDE_MEASURE else beside

    def _number(self, found: list[str], quantities: list[Quantity]) -> NormalizedAnswer | None:
        """The one quantity the answer means, if that is clear.

        Several mentions of one value are one. Among different values a year that only tells when gives way, and then
        one number with a unit is preferred to others without; anything else stays unread.
        """
        if any(quantity.value is None for quantity in quantities):
            return None
        timeless = [quantity for quantity in quantities if not quantity.year_like] or quantities
        candidates = timeless
        if len({quantity.value for quantity in candidates}) > 1:
            candidates = [quantity for quantity in timeless if quantity.unit]
        units = {quantity.unit for quantity in candidates if quantity.unit}
        if len({quantity.value for quantity in candidates}) != 1 or len(units) > 1:
            return None
        unit = units.pop() if units else ""
        limit = MAX_WORDS_BESIDE_MEASURE if unit else MAX_WORDS_BESIDE_NUMBER
        value = candidates[0].value
        if value is None or self._content(found, quantities) > limit:
            return None
        others = [quantity for quantity in quantities if quantity.value != value]
        return NormalizedAnswer(
            AnswerKind.NUMBER, canonical(value), unit, self._telling(found, quantities), self._named(found, others)
        )

    @staticmethod
    def _beside(found: list[str], quantities: list[Quantity]) -> list[str]:
        taken = {index for quantity in quantities for index in range(quantity.start, quantity.stop)}
        return [word.casefold() for index, word in enumerate(found) if index not in taken]

    def _content(self, found: list[str], quantities: list[Quantity]) -> int:
        """How many words neither belong to a quantity nor are function words."""
        return sum(self.fold(word) not in self.function_words for word in self._beside(found, quantities))

    def _telling(self, found: list[str], quantities: list[Quantity]) -> frozenset[str]:
        """The words outside of quantities that may set two claims of one value apart."""
        beside = self._beside(found, quantities)
        return frozenset(
            word
            for word in beside
            if self.fold(word) not in self.function_words
            or self.fold(word) in self.telling_words
            or word in TELLING_WORDS
        )

    def _named(self, found: list[str], quantities: list[Quantity]) -> tuple[str, ...]:
        """The quantities in canonical form; those that are no plain number as they are written."""
        said = {
            " ".join(self._fold(found[one.start : one.stop]))
            if one.value is None
            else f"{canonical(one.value)} {one.unit}".rstrip()
            for one in quantities
        }
        return tuple(sorted(said))

    def _text(self, found: list[str], quantities: list[Quantity]) -> NormalizedAnswer:
        """Folded words: case, articles and punctuation gone, numbers in canonical form."""
        folded: list[str] = []
        position = 0
        for quantity in quantities:
            folded += self._fold(found[position : quantity.start])
            if quantity.value is None:
                folded += self._fold(found[quantity.start : quantity.stop])
            else:
                folded += [canonical(quantity.value), *([quantity.unit] if quantity.unit else [])]
            position = quantity.stop
        folded += self._fold(found[position:])
        if not folded:  # the choice "A", which looks like an article
            folded = [word.casefold() for word in found]
        if not folded:
            return _NONE
        return NormalizedAnswer(AnswerKind.TEXT, " ".join(folded))

    def _fold(self, found: list[str]) -> list[str]:
        folded = [word.casefold() for word in found]
        return [word for word in folded if word not in ARTICLES]
