"""Dates and times of day in a language, rewritten as ISO 8601 and as English reads them.

Only what names day and month beyond doubt: a numeric date must use the language's own separator and a year of four
digits. What is no day of the calendar is left alone.
"""

from __future__ import annotations

import re
from datetime import date

from xmguard.languages.folding import substitute
from xmguard.languages.local.numbers import unread
from xmguard.languages.local.tables import Tables

_MONTHS = "January February March April May June July August September October November December"
ENGLISH_MONTHS = _MONTHS.split()
_START, _END = r"(?<![\w.,/:-])", r"(?![\w/:%]|[.,-]\d)"
_LEAP = 2000
EVENING = 5
"""From this hour on, one "at night" is before midnight."""
_AFTER_A_DAY = re.compile(r"\d\W{0,3}(?:de )?$")


class Dates:
    """Rewrites the dates and times of one language."""

    def __init__(self, tables: Tables) -> None:
        self._month_of = {
            name.replace("_", " "): number for number, names in enumerate(tables.months, 1) for name in names.split()
        }
        names = "|".join(sorted(map(re.escape, self._month_of), key=len, reverse=True))
        month = rf"(?P<month>{names})(?![^\W\d_])\.?(?:{tables.date_end})"
        days = "|".join(tables.weekdays.split()) or "(?!)"
        before, after = rf"(?:(?:{days})\.?,? (?:de )?)?", rf"(?:,? (?:{days})(?![^\W\d_])\.?)?"
        day = rf"(?P<day>\d{{1,2}})(?:{tables.date_after_day})"
        year, between = r"(?P<year>[12]\d{3})", tables.date_between
        marks = re.escape(tables.date_separators)
        end = rf"(?:{tables.date_end}){_END}"
        self._patterns = [
            re.compile(_START + pattern)
            for pattern in (
                rf"{before}{day}{between}{month}{between}{year}{end}{after}",
                rf"(?P<day>\d{{1,2}})(?P<mark>[{marks}])\s?(?P<month>\d{{1,2}})(?P=mark)\s?{year}{end}{after}",
                rf"{month}{between}{year}{end}",
                rf"{before}{day}{between}{month}{_END}{after}",
            )
        ]
        self._times = [re.compile(rf"(?<![\w.,/:-])(?:{pattern})(?![\w/:%]|[.,-]\d)") for pattern in tables.times]

    def rewrite(self, text: str) -> str:
        """The text with times as `20:15` and dates as `2024-03-05`, `March 2024` or `March 5`."""
        for pattern in self._times:
            text = substitute(pattern, text, _time)
        for pattern in self._patterns:
            text = substitute(pattern, text, self._date)
        return text

    def _date(self, match: re.Match[str]) -> str | None:
        said = match.groupdict()
        month = self._month_of.get(said["month"]) or int(said["month"])
        if "day" not in said:
            nearby = match.string[max(0, match.start() - 8) : match.start()]
            return None if _AFTER_A_DAY.search(nearby) else f"{ENGLISH_MONTHS[month - 1]} {said['year']}"
        return written(int(said.get("year") or 0), month, int(said["day"]))


def written(year: int, month: int, day: int) -> str | None:
    """A date as English reads it; a year of 0 is one that is not named. None for no day of the calendar."""
    try:
        date(year or _LEAP, month, day)
    except ValueError:
        return None
    return f"{year}-{month:02}-{day:02}" if year else f"{ENGLISH_MONTHS[month - 1]} {day}"


def _time(match: re.Match[str]) -> str | None:
    said = match.groupdict()
    hour, minute = int(said["hour"]), said.get("minute") or "00"
    if hour > 24 or int(minute) > 59:
        return None
    night = ("pm" if hour >= EVENING else "am") if said.get("night") else ""
    half = "am" if said.get("am") else "pm" if said.get("pm") else night
    if half and hour == 12:  # noon to some, midnight to others
        return unread(*match[0].replace(":", " ").split())
    return f"{hour}:{int(minute):02} {half}" if half and 1 <= hour < 12 else f"{hour}:{int(minute):02}"
