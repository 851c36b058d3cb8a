"""Chinese numerals: reads "一百二十三", "二〇二四", "三点五" and "3.5亿", simplified and traditional.

Reads what is well formed and nothing else: "三四个" is three or four, and stays text.
"""

from __future__ import annotations

from decimal import Decimal

_DIGITS = {sign: n for n, signs in enumerate(("〇零○", "一壹", "二两兩贰", "三叁", *"四五六七八九")) for sign in signs}
_LONGEST = 16
"""Signs of a numeral; a longer run is none."""
_TENS = {"十": 10, "百": 100, "千": 1000}
_SCALES = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
"""Without 兆, which is a million to some and a million millions to others."""
POINTS = "点點"
DIGITS = "".join(_DIGITS)
SIGNS = "".join([*_DIGITS, *_TENS, *_SCALES])
"""Every numeral, for a pattern's class."""
SCALES = "".join(_SCALES)


def read(numeral: str) -> Decimal | None:
    """Value of a numeral; None for what is not well formed."""
    if len(numeral) > 2 * _LONGEST:
        return None
    whole, _, decimals = numeral.replace("點", "点").partition("点")
    value = _whole(whole)
    if value is None or (decimals and not all(sign in _DIGITS for sign in decimals)):
        return None
    return Decimal(f"{value}.{''.join(str(_DIGITS[sign]) for sign in decimals)}") if decimals else Decimal(value)


def scaled(number: str, scales: str) -> Decimal:
    """A number in digits times the scales behind it ("3.5" and "万亿")."""
    value = Decimal(number)
    for sign in scales:
        value *= _SCALES.get(sign) or _TENS[sign]
    return value


def _whole(numeral: str) -> int | None:
    if numeral and all(sign in _DIGITS for sign in numeral):  # a year; two may be "three or four"
        digits = "".join(str(_DIGITS[sign]) for sign in numeral)
        return int(digits) if len(digits) in (1, *range(4, _LONGEST)) else None
    total, section, digit, last, before = 0, 0, None, 10**4, 10**16
    for sign in numeral:
        if sign in _DIGITS:
            if digit:
                return None
            digit = _DIGITS[sign]
        elif sign in _TENS:
            if _TENS[sign] >= last:
                return None
            if digit is None and section:  # "千百" only means many
                return None
            last = _TENS[sign]
            section, digit = section + (digit or 1) * last, None
        else:
            scale = _SCALES[sign]
            section += digit or 0
            if scale >= before and not (total and not section):
                return None
            total = total * scale if total and not section else total + (section or 1) * scale
            section, digit, last, before = 0, None, 10**4, scale
    if digit and (last in (100, 1000) or (last == 10**4 and before < 10**16)) and numeral[-2] not in "零〇○":
        digit *= (before if last == 10**4 else last) // 10  # "两百五" is 250, and "三万五" 35000
    return total + section + (digit or 0)
