"""English names of units, percentages and currencies, each to its symbol.

Knows no conversion: which symbols measure the same thing is for whoever compares two quantities. Only units whose
presence changes the claim are listed; "points" or "residents" are left out, since sources name such things freely.
"Pounds" is money or mass, so it names no unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CURRENCY_SIGNS: Mapping[str, str] = {
    "$": "usd",
    "us$": "usd",
    "€": "eur",
    "£": "gbp",
    "¥": "jpy",
    "jp¥": "jpy",
    "cn¥": "cny",
    "₹": "inr",
    "₽": "rub",
}
"""Written before the amount, or after it."""

SYMBOLS: Mapping[str, str] = {
    # Percent, also as languages without a plugin of their own write it.
    "%": "% percent pct percentage|point percentage|points per|cent por|ciento pour|cent per|cento prozent procent",
    "usd": "usd dollar dollars us|dollar us|dollars",
    "eur": "eur euro euros",
    "gbp": "gbp pounds|sterling pound|sterling",
    "jpy": "jpy yen",
    "cny": "cny rmb yuan renminbi",
    "inr": "inr rupee rupees",
    "rub": "rub ruble rubles rouble roubles",
    "try": "try lira liras",
    "isk": "isk krona kronur",
    "brl": "brl reais",
    "cent": "cent cents penny pennies pence",
    "person": "person persons people",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "m": "m meter meters metre metres",
    "km": "km kms kilometer kilometers kilometre kilometres",
    "in": "inch inches",
    "ft": "ft foot feet",
    "yd": "yd yard yards",
    "mi": "mi mile miles",
    "g": "g gram grams gramme grammes",
    "mg": "mg milligram milligrams",
    "kg": "kg kgs kilo kilos kilogram kilograms",
    "t": "t ton tons tonne tonnes metric|ton metric|tons",
    "lb": "lb lbs",
    "oz": "oz ounce ounces",
    "l": "l liter liters litre litres",
    "ml": "ml milliliter milliliters millilitre millilitres",
    "s": "s sec secs second seconds",
    "min": "min mins minute minutes",
    "h": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "yr yrs year years",
    "decade": "decade decades",
    "century": "century centuries",
    "m2": "m2 sqm square|meter square|meters square|metre square|metres",
    "km2": "km2 square|kilometer square|kilometers square|kilometre square|kilometres",
    "mi2": "mi2 square|mile square|miles",
    "ha": "ha hectare hectares",
    "acre": "acre acres",
    "km/h": "km/h kmh kph kilometers|per|hour kilometres|per|hour",
    "mph": "mph miles|per|hour",
    "°c": "°c degree|celsius degrees|celsius degree|c degrees|c celsius",
    "°f": "°f degree|fahrenheit degrees|fahrenheit degree|f degrees|f fahrenheit",
    "w": "w watt watts",
    "kw": "kw kilowatt kilowatts",
    "mw": "mw megawatt megawatts",
    "gw": "gw gigawatt gigawatts",
}
"""Canonical symbol to its English names, words parted by a bar; languages know these symbols and no others."""

_BY_NAME: Mapping[tuple[str, ...], str] = {
    tuple(name.split("|")): symbol for symbol, names in SYMBOLS.items() for name in names.split()
} | {(sign,): symbol for sign, symbol in CURRENCY_SIGNS.items()}

_LONGEST = max(map(len, _BY_NAME))


def unit_at(words: Sequence[str], start: int) -> tuple[str, int]:
    """Symbol of the unit that begins at a word, and how many words name it; `("", 0)` when none does."""
    for length in range(min(_LONGEST, len(words) - start), 0, -1):
        name = tuple(word.casefold().rstrip(".") for word in words[start : start + length])
        if name in _BY_NAME:
            return _BY_NAME[name], length
    return "", 0


def currency_before(word: str) -> str:
    """Symbol of a currency written before its amount ("USD 25", "US$ 25"), or an empty string."""
    word = word.casefold()
    if word in CURRENCY_SIGNS:
        return CURRENCY_SIGNS[word]
    return word if word in _CODES else ""


_CODES = frozenset({"usd", "eur", "gbp", "jpy", "cny", "inr", "rub", "isk", "brl"})
