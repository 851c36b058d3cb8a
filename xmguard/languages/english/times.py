"""Finds times of day: "8:15", "20:15", "8:15 PM", "8 pm".

Knows neither time zones nor durations: "1:30" is read as a time, and two times are for whoever asks to tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TIME = re.compile(
    r"(?<![\w.,/:-])(?P<hour>[01]?\d|2[0-3])(?::(?P<minute>[0-5]\d))?(?: ?(?P<half>am|pm))?(?![\w/:%]|[.,-]\d)",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class FoundTime:
    """A time of day and the characters it took (half-open)."""

    start: int
    stop: int
    value: str
    """Hour and minute, `8:15`; on the 24-hour clock when the half of the day is named: `20:15` for "8:15 PM"."""
    half: str
    """`am` or `pm` when named, else empty."""


def find_times(text: str) -> Sequence[FoundTime]:
    """Every time of day in cleaned text, in order. An hour alone is one only with its half of the day."""
    found: list[FoundTime] = []
    for match in _TIME.finditer(text):
        hour, half = int(match["hour"]), (match["half"] or "").casefold()
        if not (match["minute"] or half) or (half and not 1 <= hour <= 12):
            continue
        if half:
            hour = hour % 12 + (12 if half == "pm" else 0)
        found.append(FoundTime(match.start(), match.end(), f"{hour}:{match['minute'] or '00'}", half))
    return found
