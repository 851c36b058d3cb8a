"""Finds calendar dates that are written out as such.

python-dateutil reads the pieces, but only behind patterns that admit nothing else: on its own it takes "25" or "may"
for a date. Day and month in an ambiguous numeric order ("03/04/2021") are no date here, and a bare year is a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"[12]\d{3}"
_WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,? (?:the )?)?"
_START, _END = r"(?<![\w.,/:-])", r"(?![\w/:%]|[.,-]\d)"

# Most complete first, so that a shorter pattern never takes a part of a longer date.
_PATTERNS = tuple(
    (re.compile(_START + pattern + _END, re.IGNORECASE | re.ASCII), precision)
    for pattern, precision in (
        (rf"{_YEAR}(?P<sep>[-/])\d{{1,2}}(?P=sep)\d{{1,2}}", "{:%Y-%m-%d}"),
        (rf"{_WEEKDAY}{_MONTH} (?:the )?{_DAY},? (?:of )?{_YEAR}", "{:%Y-%m-%d}"),
        (rf"{_WEEKDAY}{_DAY} (?:of )?{_MONTH},? (?:of )?{_YEAR}", "{:%Y-%m-%d}"),
        (r"(?:1[3-9]|2\d|3[01])(?P<sep>[/.-])(?:0?[1-9]|1[0-2])(?P=sep)[12]\d{3}", "{:%Y-%m-%d}"),
        (r"(?:0?[1-9]|1[0-2])(?P<sep>[/.-])(?:1[3-9]|2\d|3[01])(?P=sep)[12]\d{3}", "{:%Y-%m-%d}"),
        (rf"{_MONTH},? (?:of )?{_YEAR}", "{:%Y-%m}"),
        (rf"{_WEEKDAY}{_MONTH} (?:the )?{_DAY}", "XXXX-{:%m-%d}"),
        (rf"{_WEEKDAY}(?:the )?{_DAY} (?:of )?{_MONTH}", "XXXX-{:%m-%d}"),
    )
)
_NOISE = re.compile(r"\b(?:of|the)\b|,", re.IGNORECASE)


@dataclass(frozen=True)
class FoundDate:
    """A date and the characters it took (half-open)."""

    start: int
    stop: int
    value: str
    """ISO 8601; `2021-03` without a day, and `XXXX-03-03` without a year, as EDTF writes it."""


def find_dates(text: str) -> Sequence[FoundDate]:
    """Every valid date in cleaned text, in order, none overlapping."""
    found: list[FoundDate] = []
    for pattern, precision in _PATTERNS:
        for match in pattern.finditer(text):
            if any(match.start() < date.stop and date.start < match.end() for date in found):
                continue
            value = _read(match[0], precision)
            if value is not None:
                found.append(FoundDate(match.start(), match.end(), value))
    return sorted(found, key=lambda date: date.start)


def _read(text: str, precision: str) -> str | None:
    from datetime import datetime  # beside dateutil, which the base install does not have

    from dateutil import parser

    try:
        # A leap year, so that 29 February without a year is valid.
        date = parser.parse(_NOISE.sub(" ", text), default=datetime(2000, 1, 1))
    except (ValueError, OverflowError):
        return None
    return precision.format(date)
