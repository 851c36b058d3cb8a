"""What can happen and what is asked of it, read from the `events.toml` of a folder of texts.

Knows no language but the English of the questions, and not how a value is written.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from string import Formatter
from typing import Any

KINDS_WITH_RANGE = frozenset(
    {"count", "length", "mass", "money", "percent", "price", "temperature", "time", "weeks", "year"}
)
KINDS = KINDS_WITH_RANGE | {"colour", "date", "month", "person", "place", "weekday"}
"""Kinds of value. Those without a range take all days, months, colours or names."""


@dataclass(frozen=True, eq=False)
class Event:
    """One kind of news with one question. There is one object of each in a corpus."""

    name: str
    theme: str
    """Which sentences can stand around it."""
    kind: str
    """One of `KINDS`."""
    question: str
    """English, with `{place}`."""
    numbers: tuple[int, ...]
    """What a kind with a range can be: units of `written`, or tenths of them; cents for a price, minutes for a time."""
    tenths: bool


def read_events(texts: Traversable) -> Mapping[str, Event]:
    """All of them by name, in the order in which topics take them.

    Raises:
        ValueError: the file does not describe events.
    """
    found = {name: _event(name, row) for name, row in toml(texts, "events.toml").items()}
    if len(found) % 2 == 0:
        raise ValueError("events.toml has an even number of events; what alternates over topics needs an odd one")
    return found


def toml(texts: Traversable, name: str) -> dict[str, Any]:
    """One of the files of a folder of texts."""
    return tomllib.loads((texts / name).read_text(encoding="utf-8"))


def placeholders(template: str) -> tuple[str, ...]:
    """Names in braces, in order, as often as they occur."""
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name is not None)


def _event(name: str, row: Mapping[str, Any]) -> Event:
    ranged = {"from", "to", "step"} if row.get("kind") in KINDS_WITH_RANGE else set()
    if set(row) - {"tenths"} != {"theme", "kind", "question", *ranged}:
        raise ValueError(f"events.toml: {name} needs theme, kind, question and, for a number, from, to and step")
    if row["kind"] not in KINDS:
        raise ValueError(f"events.toml: {name} is of kind {row['kind']!r}; kinds are {', '.join(sorted(KINDS))}")
    if placeholders(row["question"]) != ("place",):
        raise ValueError(f"events.toml: the question of {name} must name {{place}} once and nothing else")
    numbers = tuple(range(row["from"], row["to"] + 1, row["step"])) if ranged else ()
    return Event(name, row["theme"], row["kind"], row["question"], numbers, row.get("tenths", False))
