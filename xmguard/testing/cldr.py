"""Cases for a language out of the Unicode CLDR, as Babel formats them: numbers, dates, times, money and units.

Needs Babel, which nothing that answers requests imports. Knows no language of xmguard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal

from xmguard.contracts import Language
from xmguard.evidence import AnswerKind
from xmguard.languages.english.numerals import canonical

_NUMBERS = "0 7 25 100 999 1234 12345 1234567 1000000000 0.5 3.25 12.5 0.125 1234.5 1234567.25 -5 -1234.5 1.234 12.345"
_SHARES = "0.05 0.25 1 0.125 12.34"
_DATES = (date(2024, 3, 5), date(1999, 12, 31), date(2021, 5, 20), *(date(2023, month, 9) for month in range(1, 13)))
_TIMES = (time(8, 5), time(12, 30), time(20, 15))
_CURRENCIES = "EUR USD GBP TRY ISK CNY JPY"
_AMOUNTS = "25 1234.5 3500000"
_UNITS = {
    "length-millimeter": "mm",
    "length-centimeter": "cm",
    "length-meter": "m",
    "length-kilometer": "km",
    "length-inch": "in",
    "length-foot": "ft",
    "length-yard": "yd",
    "length-mile": "mi",
    "mass-milligram": "mg",
    "mass-gram": "g",
    "mass-kilogram": "kg",
    "mass-tonne": "t",
    "mass-pound": "lb",
    "mass-ounce": "oz",
    "volume-milliliter": "ml",
    "volume-liter": "l",
    "duration-second": "s",
    "duration-minute": "min",
    "duration-hour": "h",
    "duration-day": "day",
    "duration-week": "week",
    "duration-month": "month",
    "duration-year": "year",
    "area-square-meter": "m2",
    "area-square-kilometer": "km2",
    "area-square-mile": "mi2",
    "area-hectare": "ha",
    "area-acre": "acre",
    "speed-kilometer-per-hour": "km/h",
    "speed-mile-per-hour": "mph",
    "temperature-celsius": "°c",
    "temperature-fahrenheit": "°f",
    "power-watt": "w",
    "power-kilowatt": "kw",
    "power-megawatt": "mw",
}


@dataclass(frozen=True)
class Case:
    """One value as a locale writes it."""

    form: str
    """Which format of which kind, and the value in English notation: `unit long 25 km`."""
    text: str
    kind: AnswerKind
    value: str
    unit: str = ""


def cases(locale: str) -> Sequence[Case]:
    """Every case of a locale that CLDR has data for."""
    return [*_numbers(locale), *_dates(locale), *_money(locale), *_units(locale)]


def misread(language: Language, tried: Sequence[Case]) -> dict[str, str]:
    """Form to text of the cases that a language does not read as the value they are; a time's half is not asked for."""
    wrong = {}
    for case in tried:
        said = language.normalize(case.text)
        unit = case.unit if said.kind is AnswerKind.TIME else said.unit
        if (said.kind, said.value, unit) != (case.kind, case.value, case.unit):
            wrong[case.form] = case.text
    return wrong


def _numbers(locale: str) -> Iterator[Case]:
    from babel.numbers import format_decimal, format_percent

    for number in map(Decimal, _NUMBERS.split()):
        value = canonical(number)
        yield Case(f"decimal {value}", format_decimal(number, locale=locale), AnswerKind.NUMBER, value)
    for share in map(Decimal, _SHARES.split()):
        value = canonical(share * 100)
        text = format_percent(share, locale=locale, decimal_quantization=False)
        yield Case(f"percent {value}", text, AnswerKind.NUMBER, value, "%")


def _dates(locale: str) -> Iterator[Case]:
    from babel.dates import format_date, format_skeleton, format_time

    for day in _DATES:
        for form in ("full", "long", "medium", "short"):
            text = format_date(day, form, locale=locale)
            yield Case(f"date {form} {day}", text, AnswerKind.DATE, day.isoformat())
    for day in _DATES[:3]:
        text = format_skeleton("yMMMM", day, locale=locale)
        yield Case(f"month {day:%Y-%m}", text, AnswerKind.DATE, f"{day:%Y-%m}")
        text = format_skeleton("MMMMd", day, locale=locale)
        yield Case(f"day {day:%m-%d}", text, AnswerKind.DATE, f"XXXX-{day:%m-%d}")
    for moment in _TIMES:
        text = format_time(moment, "short", locale=locale)
        yield Case(f"time {moment:%H:%M}", text, AnswerKind.TIME, f"{moment.hour}:{moment:%M}")


def _money(locale: str) -> Iterator[Case]:
    from babel.numbers import format_currency

    for code in _CURRENCIES.split():
        for amount in map(Decimal, _AMOUNTS.split()):
            if code in ("ISK", "JPY") and amount != int(amount):  # these have no smaller coin
                continue
            text = format_currency(amount, code, locale=locale)
            yield Case(f"money {amount} {code}", text, AnswerKind.NUMBER, canonical(amount), code.lower())


def _units(locale: str) -> Iterator[Case]:
    from babel.units import format_unit

    for unit, symbol in _UNITS.items():
        for form in ("long", "short"):
            text = format_unit(25, unit, form, locale=locale)
            if unit not in text:  # Babel falls back to the identifier where the locale takes another's form over
                yield Case(f"unit {form} 25 {symbol}", text, AnswerKind.NUMBER, "25", symbol)
