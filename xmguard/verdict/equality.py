"""Do two normalised answers claim the same? Same, different, or not decidable from the claims alone.

Compares claims, not wordings. UNKNOWN is the careful outcome: it leaves the decision to the
likelihood evidence, while a wrong DIFFERENT makes a false conflict and a wrong SAME hides a real one.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from enum import Enum

from xmguard.evidence import AnswerKind, NormalizedAnswer
from xmguard.verdict.units import CURRENCIES, TEMPERATURES, to_base

EXACT = Decimal("1e-9")
"""Relative difference put down to binary floating point in a plugin."""
CONVERTED = Decimal("0.02")
"""Relative difference between converted units put down to rounding: "26 miles" and "42 km" differ by 0.4%."""
MAX_ADDED_WORDS = 3
"""A name with more words around it than this is no longer the same short answer said more fully."""


class Agreement(Enum):
    """How two claims relate."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


def compare(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
    """Compare two claims. Symmetric; answers of kind NONE claim nothing and compare as UNKNOWN with everything.

    Claims of different kinds are UNKNOWN, except a bare year against a date.
    """
    if AnswerKind.NONE in (a.kind, b.kind):
        return Agreement.UNKNOWN
    if a.kind is b.kind:
        return _SAME_KIND[a.kind](a, b)
    number, date = (a, b) if a.kind is AnswerKind.NUMBER else (b, a)
    if number.kind is AnswerKind.NUMBER and date.kind is AnswerKind.DATE and _is_year(number):
        return _dates(number, date)
    return Agreement.UNKNOWN


def _is_year(number: NormalizedAnswer) -> bool:
    return not number.unit and len(number.value) == 4 and number.value.isdigit()


def _numbers(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
    try:
        x, y = Decimal(a.value), Decimal(b.value)
    except InvalidOperation:
        return _same_if(a.value == b.value and a.unit == b.unit)
    if not (x.is_finite() and y.is_finite()):
        return Agreement.UNKNOWN
    if a.unit == b.unit or not (a.unit and b.unit):
        # A unit named on one side only is taken to be meant on the other.
        return Agreement.UNKNOWN if not _close(x, y, EXACT) and _rounded(x, y) else _same_if(_close(x, y, EXACT))
    base_x, base_y = to_base(x, a.unit), to_base(y, b.unit)
    if base_x and base_y and base_x[0] == base_y[0]:
        return _same_if(_close(base_x[1], base_y[1], CONVERTED))
    pair = {a.unit, b.unit}
    if pair <= CURRENCIES:
        # 25 dollars are not 25 euros, but 3.5 million dollars may well be 3.2 million euros.
        return Agreement.DIFFERENT if _close(x, y, EXACT) else Agreement.UNKNOWN
    return Agreement.UNKNOWN if pair <= TEMPERATURES else Agreement.DIFFERENT


def _close(x: Decimal, y: Decimal, tolerance: Decimal) -> bool:
    return abs(x - y) <= tolerance * max(abs(x), abs(y))


def _rounded(x: Decimal, y: Decimal) -> bool:
    """Whether one is the other with fewer decimals: 25 may report 24.8. Whole numbers are never roundings here."""
    return any(
        _decimals(coarse) < _decimals(fine) and abs(coarse - fine) * 2 <= Decimal(10) ** -_decimals(coarse)
        for coarse, fine in ((x, y), (y, x))
    )


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _dates(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
    """Year, month and day, each compared where both name it: "March 2021" agrees with "3 March 2021"."""
    known = [
        (x, y)
        for x, y in zip(_fields(a.value), _fields(b.value), strict=False)
        if not set(x) <= {"X"} and not set(y) <= {"X"}
    ]
    if not known:
        return Agreement.UNKNOWN
    return _same_if(all(x == y for x, y in known))


def _fields(date: str) -> list[str]:
    return date.upper().split("-")


def _exact(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
    return _same_if(a.value == b.value)


def _texts(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
    """Equal, or one the other with a few words before or after it ("bus", "red bus").

    Words that do not match may be synonyms, paraphrases or another language, so texts are never DIFFERENT.
    """
    if a.value == b.value:
        return Agreement.SAME
    short, long = sorted((a.value.split(), b.value.split()), key=len)
    if short and long[-len(short) :] == short:
        added = long[: -len(short)]
    elif short and long[: len(short)] == short:
        added = long[len(short) :]
    else:
        return Agreement.UNKNOWN
    harmless = all(word not in _TURNING and word.isalpha() for word in added)
    return Agreement.SAME if harmless and len(added) <= MAX_ADDED_WORDS else Agreement.UNKNOWN


# Added words that can turn a claim around. All that is known of any language here; a word missing from it costs most
# in short sentences, which is why additions are few, at one end, and never settle that two texts differ.
_TURNING_WORDS = """
    no not non never without nor neither none cannot before after former formerly ex anti near outside except unlike
    over under above below than almost nearly denied false or nicht kein keine ohne ne pas sans sin nunca ni tampoco
    não nem без не нет değil ekki engin 不 没 没有 非 ない
"""
_TURNING = frozenset(_TURNING_WORDS.split())


def _same_if(equal: bool) -> Agreement:
    return Agreement.SAME if equal else Agreement.DIFFERENT


_SAME_KIND = {
    AnswerKind.NUMBER: _numbers,
    AnswerKind.DATE: _dates,
    AnswerKind.BOOLEAN: _exact,
    AnswerKind.TEXT: _texts,
}
