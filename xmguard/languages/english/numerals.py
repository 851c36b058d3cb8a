"""Finds the quantities in a list of words: digits, number words, scales, signs, units.

Exact decimals throughout. Says which words are quantities, and which look numeric but claim something else (ranges,
scores, times, ordinals, fractions); which quantity an answer means is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from xmguard.languages.english.units import CURRENCY_SIGNS, currency_before, unit_at

_UNITS_AND_TEENS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen
"""
_DECADES = "twenty thirty forty fifty sixty seventy eighty ninety"
_PARTS = """
    half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths
    ninth ninths tenth tenths hundredth hundredths thousandth thousandths
"""
_RANKS = "first second third fourth fifth sixth seventh eighth ninth"
_SEVERAL = "several few many some multiple numerous couple"
_WHEN = "in since by until till from during of year circa ca around before after early late"

_SMALL = {word: value for value, word in enumerate(_UNITS_AND_TEENS.split())}
_TENS = {word: 10 * value for value, word in enumerate(_DECADES.split(), start=2)}
NUMBER_WORDS = {word: str(value) for word, value in (_SMALL | _TENS).items() if value != 1}
"""Single words for whole numbers; "one" is left out, because it seldom counts."""
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SHORT_SCALES = {"k": 10**3, "m": 10**6, "mn": 10**6, "bn": 10**9, "b": 10**9, "tn": 10**12}
"""Glued to an amount of money only: elsewhere "5m" is a length."""
_COUNTED_IN_MILLIONS = {"person", *CURRENCY_SIGNS.values()}
_WHOLE_SCALES = {"mn", "bn", "tn"}
_COUNTING = {"dozen": 12}
"""Behind a number only: "several dozen" is none."""
_FRACTIONS = frozenset(_PARTS.split())
_ORDINALS = frozenset(_RANKS.split())
_YEAR_LEADS = frozenset(_WHEN.split())
_VAGUE = (*((word,) for word in _SEVERAL.split()), ("couple", "of"))
"""What makes no number of a scale behind it: "several thousand" is no 1000."""
_ONE_IN = (("one", "in"), ("one", "out", "of"), ("one", "in", "every"))
"""What makes a share of the number behind it; "1 in 5" is two numbers, and not read for that."""

_SIGN = "".join(sorted(re.escape(sign) for sign in CURRENCY_SIGNS if len(sign) == 1))
_DIGITS = r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}(?:\.\d+)?|\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d+,\d{1,2}|\d*\.\d+|\d+"
_NUMERIC = re.compile(
    rf"(?P<sign>[-+]?)(?P<money>(?:[a-z]{{2}})?[{_SIGN}])?(?P<sign2>-?)(?P<digits>{_DIGITS})(?P<rest>[^\d]*)",
    re.IGNORECASE | re.ASCII,
)

_THOUSANDS_OR_DECIMALS = re.compile(r"[1-9]\d{0,2}\.\d{3}", re.ASCII)
"""Much of Europe writes twelve hundred as "1.200"; elsewhere that is a little over one."""


@dataclass(frozen=True)
class Quantity:
    """A number claimed by the words from `start` to `stop` (half-open)."""

    start: int
    stop: int
    value: Decimal | None
    """None for words that look numeric but are no plain number: "10-12", "2/3", "1990s", "1.200", "twenty-first"."""
    unit: str = ""
    year_like: bool = False
    """A bare number that is probably a year only telling when: "in 2021"."""


def find_quantities(words: Sequence[str]) -> list[Quantity]:
    """Every quantity, in order, none overlapping."""
    found: list[Quantity] = []
    position = 0
    while position < len(words):
        quantity = _quantity_at(words, position)
        if quantity is not None:
            found.append(quantity)
        position = quantity.stop if quantity is not None else position + 1
    return _without_ranges(words, _without_runs(found))


def _without_runs(found: Sequence[Quantity]) -> list[Quantity]:
    """Unlike numbers side by side ("1 200", "1 m 78") may be one number or several, so none of them is read."""
    runs: set[int] = set()
    for index, (left, right) in enumerate(pairwise(found)):
        parted = left.year_like or (left.unit and right.unit) or left.value == right.value
        if left.stop == right.start and not parted:
            runs |= {index, index + 1}
    return [replace(one, value=None, unit="") if index in runs else one for index, one in enumerate(found)]


def _without_ranges(words: Sequence[str], found: Sequence[Quantity]) -> list[Quantity]:
    """Of "5 to 7 km" and "between 5 and 7 km" no end is the claim; "from 5 to 7 km" may tell of a change, to 7."""
    ends: set[int] = set()
    for index, (left, right) in enumerate(pairwise(found)):
        between = [word.casefold() for word in words[left.stop : right.start]]
        before = words[left.start - 1].casefold() if left.start else ""
        if right.unit and ((between == ["to"] and before != "from") or (between == ["and"] and before == "between")):
            ends |= {index, index + 1}
    return [replace(one, value=None, unit="") if index in ends else one for index, one in enumerate(found)]


def canonical(value: Decimal) -> str:
    """Plain notation without superfluous zeros: `25`, `3.5`, `3500000`; never an exponent, never `-0`."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _quantity_at(words: Sequence[str], start: int) -> Quantity | None:
    position, negative, unit = start, False, ""
    if words[position].casefold() in ("minus", "negative") and position + 1 < len(words):
        position, negative = position + 1, True
    if (currency := currency_before(words[position])) and position + 1 < len(words):
        position, unit = position + 1, currency
    read = _digits(words[position], money=bool(unit)) or _number_words(words, position)
    if read is None:
        return None
    value, glued, taken = read
    if words[position].casefold() in _SCALES and _follows(words, position, _VAGUE):
        value = None
    position += taken
    if value is None:
        return Quantity(start, position, None)
    value, position = _scaled(words, position, value)
    if _is_fraction_or_ordinal(words, position, digits=taken == 1 and any(c.isdigit() for c in words[position - 1])):
        return Quantity(start, position + 1, None)
    if glued == "m" and unit_at(words, position)[0] in _COUNTED_IN_MILLIONS:  # "10m people"
        value, glued = value * 10**6, ""
    if not unit and glued:
        unit = glued
    elif not unit:
        unit, length = unit_at(words, position)
        position += length
    elif (named := unit_at(words, position))[0] == unit:  # "$25 USD"
        position += named[1]
    if below := _below_zero(words, position):
        return Quantity(start, position + below, None)
    bare = position == start + 1 and not unit and value == int(value) and 1000 <= value <= 2100
    year_like = bare and start > 0 and words[start - 1].casefold() in _YEAR_LEADS
    if not year_like and _follows(words, start, _ONE_IN):
        return Quantity(start, position, None)
    return Quantity(start, position, -value if negative else value, unit, year_like)


def _below_zero(words: Sequence[str], position: int) -> int:
    """How many words from there on set a temperature below zero or freezing; 0 for none."""
    folded = [word.casefold() for word in words[position : position + 3]]
    degrees = int(folded[:1] in (["degrees"], ["degree"]))
    return degrees + 2 if folded[degrees:][:2] in (["below", "zero"], ["below", "0"], ["below", "freezing"]) else 0


def _follows(words: Sequence[str], start: int, phrases: Sequence[Sequence[str]]) -> bool:
    """Whether one of these phrases stands directly before a word."""
    return any(
        [word.casefold() for word in words[max(0, start - len(phrase)) : start]] == list(phrase) for phrase in phrases
    )


def _digits(word: str, *, money: bool) -> tuple[Decimal | None, str, int] | None:
    """Value, glued unit and words taken; a value of None for digits that are no plain number."""
    if not any(character.isdigit() for character in word):
        return None
    match = _NUMERIC.fullmatch(word)
    if match is None:
        # Part numbers and names ("r2d2", "covid19") are words; what begins with a digit or a sign is a numeric form.
        return None if word[0].isalpha() else (None, "", 1)
    if _THOUSANDS_OR_DECIMALS.fullmatch(match["digits"]):
        return None, "", 1
    value = Decimal(_plain(match["digits"]))
    unit = CURRENCY_SIGNS.get((match["money"] or "").casefold(), "")
    if match["money"] and not unit:
        unit = CURRENCY_SIGNS[match["money"][-1]]
    rest = match["rest"].strip("-+.").casefold()
    if rest in _WHOLE_SCALES or (rest in _SHORT_SCALES and (unit or money)):
        value, rest = value * _SHORT_SCALES[rest], ""
    if rest:
        glued, length = unit_at([rest], 0)
        if not length or (unit and glued != unit) or glued == "s":  # "1990s" is a decade
            return None, "", 1
        unit = glued
    return -value if "-" in match["sign"] + match["sign2"] else value, unit, 1


def _plain(digits: str) -> str:
    """Separators of thousands removed, a decimal comma made a point: a comma before one or two digits is decimal."""
    if re.fullmatch(r"\d+,\d{1,2}", digits):
        return digits.replace(",", ".")
    if digits.count(".") > 1:
        return digits.replace(".", "").replace(",", ".")
    return digits.replace(",", "")


def _number_words(words: Sequence[str], start: int) -> tuple[Decimal | None, str, int] | None:
    folded = [word.casefold() for word in words[start : start + 16]]
    if folded[0] == "half":  # "half a million", also with its article folded away
        scale = folded[2:3] if folded[1:2] == ["a"] else folded[1:2]
        if scale and scale[0] in _SCALES:
            return Decimal(_SCALES[scale[0]]) / 2, "", folded.index(scale[0]) + 1
        return None
    if folded[0] == "one" and not _one_counts(words, start):
        return None
    total, current, taken, last, smallest = 0, 0, 0, "", 10**18
    for index, word in enumerate(folded):
        following = folded[index + 1] if index + 1 < len(folded) else ""
        if word in _SMALL and last in ("", "tens", "scale") and (last != "tens" or 0 < _SMALL[word] < 10):
            current, last = current + _SMALL[word], "small"
        elif word in _TENS and last in ("", "scale"):
            current, last = current + _TENS[word], "tens"
        elif word == "hundred" and current < 100:
            current, last = max(current, 1) * 100, "scale"
        elif word in _SCALES and _SCALES[word] < smallest:
            total, current, last, smallest = total + max(current, 1) * _SCALES[word], 0, "scale", _SCALES[word]
        elif word == "and" and last == "scale" and (following in _SMALL or following in _TENS):
            continue
        elif word == "point" and last in ("small", "tens") and (decimals := _decimals(folded[index + 1 :])):
            return Decimal(f"{total + current}.{decimals}"), "", index + 1 + len(decimals)
        else:
            break  # a scale that does not fall, as in "five thousand million", multiplies what was read so far
        taken = index + 1
    return (Decimal(total + current), "", taken) if taken else None


def _decimals(words: Sequence[str]) -> str:
    digits = ""
    for word in words:
        if not 0 <= _SMALL.get(word, 10) < 10:
            break
        digits += str(_SMALL[word])
    return digits


def _one_counts(words: Sequence[str], start: int) -> bool:
    """Whether "one" is a number. It is mostly a pronoun, so only at the end or before a scale, a fraction or a unit."""
    after = words[start + 1].casefold() if start + 1 < len(words) else ""
    before = words[start - 1].casefold() if start else ""
    if before in ("no", "any", "every", "the", "this", "that", "which", "another"):
        return False
    return not after or after in _SCALES or after in _FRACTIONS or after == "point" or unit_at(words, start + 1)[1] > 0


def _scaled(words: Sequence[str], position: int, value: Decimal) -> tuple[Decimal, int]:
    """The value times the scales that follow ("and a half million"), and the position after them."""
    folded = [word.casefold() for word in words[position : position + 3]]
    if folded[:3] == ["and", "a", "half"]:
        value, position = value + Decimal("0.5"), position + 3
    elif folded[:2] == ["and", "half"]:
        value, position = value + Decimal("0.5"), position + 2
    while position < len(words):
        scale = words[position].casefold()
        factor = _SCALES.get(scale) or (_SHORT_SCALES[scale] if scale in _WHOLE_SCALES else _COUNTING.get(scale))
        if factor is None:
            break
        value, position = value * factor, position + 1
    return value, position


def _is_fraction_or_ordinal(words: Sequence[str], position: int, *, digits: bool) -> bool:
    """Whether the number just read only begins "two thirds" or "twenty first"; "30 second" is a duration."""
    if position >= len(words):
        return False
    word = words[position].casefold()
    return word in _FRACTIONS or (word in _ORDINALS and not digits)
