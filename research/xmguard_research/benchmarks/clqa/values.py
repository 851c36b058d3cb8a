"""Values of every kind and how a language writes them, by the CLDR.

A value is kept as a plain string that no language owns: `2031-03-14`, `21:35`, `EUR 12.50`, `480` (metres), `Tarvella`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from functools import lru_cache
from random import Random

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal, format_percent
from babel.units import format_unit

from xmguard_research.benchmarks.clqa.corpus import Corpus
from xmguard_research.benchmarks.clqa.events import Event
from xmguard_research.benchmarks.clqa.languages import Language

CURRENCIES = ("EUR", "USD", "GBP", "CHF")
_MINUTES = 60
_YEAR = 2031
_DAYS = range(2, 29)
"""In every month, and without the first, which some languages do not count."""
_MONDAY = date(_YEAR, 1, 6)


@lru_cache(maxsize=256)
def domain(corpus: Corpus, event: Event, currency: str = CURRENCIES[0]) -> tuple[str, ...]:
    """Every value that can be an answer about this event; amounts of money in one currency."""
    english = corpus.english
    listed = {
        "colour": tuple(english.colours),
        "place": tuple(english.places),
        "person": tuple(english.persons),
        "weekday": tuple(str(day) for day in range(7)),
        "month": tuple(str(month) for month in range(1, 13)),
        "date": tuple(date(_YEAR, month, day).isoformat() for month in range(1, 13) for day in _DAYS),
    }
    if event.kind in listed:
        return listed[event.kind]
    return tuple(_number(event, number, currency) for number in event.numbers)


def draw(corpus: Corpus, event: Event, random: Random, count: int, without: frozenset[str]) -> list[str]:
    """Different values, all in one currency if they are money, and none of `without`."""
    possible = [value for value in domain(corpus, event, random.choice(CURRENCIES)) if value not in without]
    return random.sample(possible, count)


@lru_cache(maxsize=65536)
def written(kind: str, value: str, own: Language) -> str:
    """The value as that language writes it."""
    return _WRITERS[kind](value, own)


def _number(event: Event, number: int, currency: str) -> str:
    match event.kind:
        case "time":
            return f"{number // _MINUTES:02}:{number % _MINUTES:02}"
        case "price":
            return f"{currency} {Decimal(number) / 100:.2f}"
        case "money":
            return f"{currency} {number}"
        case _:
            return str(Decimal(number) / 10) if event.tenths else str(number)


def _unit(name: str) -> Callable[[str, Language], str]:
    def write(value: str, own: Language) -> str:
        return format_unit(Decimal(value), name, length=own.units, locale=own.locale)

    return write


def _temperature(value: str, own: Language) -> str:
    return format_unit(int(value), "temperature-celsius", length="short", locale=own.locale)


def _count(value: str, own: Language) -> str:
    return format_decimal(int(value), locale=own.locale)


def _percent(value: str, own: Language) -> str:
    return format_percent(Decimal(value) / 100, locale=own.locale)


def _price(value: str, own: Language) -> str:
    currency, amount = value.split()
    return format_currency(Decimal(amount), currency, locale=own.locale)


def _money(value: str, own: Language) -> str:
    currency, amount = value.split()
    pattern = Locale.parse(own.locale).currency_formats["standard"].pattern
    whole = pattern.replace(".00", "")
    return format_currency(int(amount), currency, format=whole, currency_digits=False, locale=own.locale)


def _date(value: str, own: Language) -> str:
    return format_date(date.fromisoformat(value), format="long", locale=own.locale)


def _time(value: str, own: Language) -> str:
    return format_time(time.fromisoformat(value), format="short", locale=own.locale)


def _weekday(value: str, own: Language) -> str:
    return format_date(_MONDAY.replace(day=_MONDAY.day + int(value)), format="EEEE", locale=own.locale)


def _month(value: str, own: Language) -> str:
    # Not LLLL, the form without a day: once Chinese is loaded, Babel 2.18 gives Chinese names to other languages too.
    return format_date(date(_YEAR, int(value), 1), format="MMMM", locale=own.locale)


_WRITERS: Mapping[str, Callable[[str, Language], str]] = {
    "colour": lambda value, own: own.colours[value],
    "count": _count,
    "date": _date,
    "length": _unit("length-meter"),
    "mass": _unit("mass-kilogram"),
    "money": _money,
    "month": _month,
    "percent": _percent,
    "person": lambda value, own: own.persons[value],
    "place": lambda value, own: own.places[value],
    "price": _price,
    "temperature": _temperature,
    "time": _time,
    "weekday": _weekday,
    "weeks": _unit("duration-week"),
    "year": lambda value, own: value,
}
