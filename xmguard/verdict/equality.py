"""Do two normalised answers claim the same? Same, different, or not decidable from the claims alone.

Compares claims, not wordings. UNKNOWN is the careful outcome: it leaves the decision to the
likelihood evidence, while a wrong DIFFERENT makes a false conflict and a wrong SAME hides a real one.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum

from xmguard.evidence import AnswerKind, NormalizedAnswer
from xmguard.verdict.units import CURRENCIES, TEMPERATURES, to_base

EXACT = Decimal("1e-9")
"""Relative difference put down to binary floating point in a plugin."""
CONVERTED = Decimal("0.02")
"""Relative difference between converted units put down to rounding: "26 miles" and "42 km" differ by 0.4%."""


class Agreement(Enum):
    """How two claims relate."""

    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


def compare(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
    """Compare two claims. Symmetric; answers of kind NONE claim nothing and compare as UNKNOWN with everything.

    Claims of different kinds are UNKNOWN, except a bare year against a date. Equal claims are SAME only if what else
    the answers say does not set them apart.
    """
    agreement = _claims(a, b)
    return _beside(a, b) if agreement is Agreement.SAME else agreement


def _claims(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
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


def _times(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
    """The half of the day sets times apart only where both tell it: "8:15" agrees with "8:15 PM"."""
    if a.value == b.value:
        return Agreement.SAME
    x, y = _clock(a.value), _clock(b.value)
    if x is None or y is None or (a.unit and b.unit) or (x[0] % 12, x[1]) != (y[0] % 12, y[1]):
        return Agreement.DIFFERENT
    if not (a.unit or b.unit):  # "8:15" may mean "20:15"
        return Agreement.UNKNOWN
    hour = y[0] if a.unit else x[0]
    return _same_if(1 <= hour <= 12)


def _clock(time: str) -> tuple[int, str] | None:
    hour, _, minute = time.partition(":")
    return (int(hour), minute) if hour.isdecimal() and minute else None


def _texts(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
    """Equal, or one the other with nothing added but openers in front and hedges anywhere ("Paris", "it is in Paris").

    Any other word may narrow the claim or turn it around ("mayor", "deputy mayor"). Words that do not match may be
    synonyms, paraphrases or another language, so texts are never DIFFERENT.
    """
    if a.value == b.value:
        return Agreement.SAME
    short, long = sorted((a.value.split(), b.value.split()), key=len)
    core = [word for word in long if word not in _HEDGES]
    if len(short) < len(long) and (_adds_openers(core, short) or _adds_openers(long, short)):
        return Agreement.SAME
    return Agreement.UNKNOWN


def _adds_openers(long: Sequence[str], short: Sequence[str]) -> bool:
    cut = len(long) - len(short)
    return cut >= 0 and bool(short) and long[cut:] == short and _OPENERS.issuperset(long[:cut])


def _beside(a: NormalizedAnswer, b: NormalizedAnswer) -> Agreement:
    """What equal claims amount to, given what else is said: SAME while neither says what the other does not.

    "25% of men" and "25% of women" are two claims; "25%" and "25% of men" are one, said more or less fully, unless
    the fuller one takes it back.
    """
    for x, y in ((a.words, b.words), (frozenset(a.quantities), frozenset(b.quantities))):
        if not (x <= y or y <= x):
            return Agreement.UNKNOWN
    return Agreement.UNKNOWN if (a.words ^ b.words) & _TURNING else Agreement.SAME


_HEDGES = frozenset(["about", "approximately", "around", "circa", "exactly", "roughly"])
_OPENERS = _HEDGES | frozenset(["it", "is", "it's", "they", "are", "in", "at", "by", "answer"])
"""English: all that is known of any language's function words here. Without "was", which may tell of a past state."""

# Words that take back the claim they stand beside; a word missing from here can make two answers SAME that are not.
_TURNING_WORDS = """
    no not non never without nor neither none cannot except unlike denied denies deny rejected rejects false falsely
    wrong wrongly incorrect untrue or nicht kein keine ohne ne pas sans sin nunca ni tampoco não nem без не нет değil
    ekki engin 不 没 没有 非 ない
"""
_TURNING = frozenset(_TURNING_WORDS.split())


def _same_if(equal: bool) -> Agreement:
    return Agreement.SAME if equal else Agreement.DIFFERENT


_SAME_KIND = {
    AnswerKind.NUMBER: _numbers,
    AnswerKind.DATE: _dates,
    AnswerKind.TIME: _times,
    AnswerKind.BOOLEAN: _exact,
    AnswerKind.TEXT: _texts,
}
