"""The sentences of a language and its spelling of invented names, read from a folder of texts and checked.

Knows no topics. A language is a file; the code has a list of their names and nothing else about any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any, Literal

from xmguard_research.benchmarks.clqa.events import Event, placeholders, toml

ENGLISH = "en"
LANGUAGES = (ENGLISH, "zh", "tr", "is", "es", "fr", "de")
"""BCP-47 tags."""
SHARED = "shared"
"""Sentences that can stand around any event."""
_SCRIPTS = {"latin": 0, "han": 1}
_FIELDS = {"locale", "script", "separator", "units", "colours", "events", "around"}

Paraphrases = tuple[str, str]
"""Two templates that say the same."""


@dataclass(frozen=True)
class Wording:
    """How a language tells one event."""

    answer: Paraphrases
    """With `{place}` and `{value}`: sentences that answer the question."""
    aside: Paraphrases
    """With `{near}` or `{far}`, and `{value}`: sentences that state another value of the kind, about something else."""


@dataclass(frozen=True, eq=False)
class Language:
    """Everything that a paragraph needs of a language. There is one object of each in a corpus."""

    code: str
    locale: str
    """For Babel."""
    separator: str
    """Between sentences."""
    units: Literal["long", "short"]
    """Length of Babel's names of units."""
    colours: Mapping[str, str]
    """By their English names."""
    places: Mapping[str, str]
    """By their Latin spellings."""
    persons: Mapping[str, str]
    wordings: Mapping[str, Wording]
    """By event."""
    around: Mapping[str, tuple[Paraphrases, ...]]
    """By theme, and `SHARED`: sentences that answer nothing. Those of one number say the same in every language."""


def read_language(texts: Traversable, code: str, events: Mapping[str, Event]) -> Language:
    """One of `LANGUAGES`, telling these events.

    Raises:
        ValueError: its file lacks something, or a sentence does not hold the slots it must hold.
    """
    row = toml(texts, f"{code}.toml")
    if set(row) != _FIELDS:
        raise ValueError(f"{code}.toml must have exactly {', '.join(sorted(_FIELDS))}")
    if set(row["events"]) != set(events):
        raise ValueError(f"{code}.toml: events without wording or unknown: {set(row['events']) ^ set(events)}")
    if row["units"] not in ("long", "short") or row["script"] not in _SCRIPTS:
        raise ValueError(f"{code}.toml: units are long or short, and a script is {' or '.join(_SCRIPTS)}")
    names, english = toml(texts, "names.toml"), toml(texts, f"{ENGLISH}.toml")
    column = _SCRIPTS[row["script"]]
    around = {theme: tuple(_around(code, theme, pair) for pair in pairs) for theme, pairs in row["around"].items()}
    _same_shape(code, around, english["around"], {event.theme for event in events.values()} | {SHARED})
    return Language(
        code=code,
        locale=row["locale"],
        separator=row["separator"],
        units=row["units"],
        colours=dict(zip(english["colours"], row["colours"], strict=True)),
        places={spellings[0]: spellings[column] for spellings in names["places"]},
        persons={spellings[0]: spellings[column] for spellings in names["persons"]},
        wordings={name: _wording(code, event, row["events"][name]) for name, event in events.items()},
        around=around,
    )


def _wording(code: str, event: Event, row: Mapping[str, Sequence[str]]) -> Wording:
    return Wording(
        answer=_checked(f"{code}.toml: answer of {event.name}", row["answer"], (["place", "value"],) * 2),
        aside=_checked(f"{code}.toml: aside of {event.name}", row["aside"], (["near", "value"], ["far", "value"])),
    )


def _around(code: str, theme: str, pair: Sequence[str]) -> Paraphrases:
    slots = ["speaker"] if any("{" in sentence for sentence in pair) else []
    return _checked(f"{code}.toml: {pair[0]!r} around {theme}", pair, (slots, slots))


def _checked(where: str, pair: Sequence[str], slots: tuple[list[str], list[str]]) -> Paraphrases:
    first, second = pair
    for sentence, expected in zip((first, second), slots, strict=True):
        if sorted(placeholders(sentence)) != expected:
            raise ValueError(f"{where} must name {expected} once each and nothing else: {sentence}")
    return first, second


def _same_shape(
    code: str, around: Mapping[str, tuple[Paraphrases, ...]], english: Mapping[str, Any], themes: set[str]
) -> None:
    """Sentences are chosen by number, so every language has as many of each theme, with a name in the same ones."""
    shape = {theme: [_names(pair) for pair in pairs] for theme, pairs in around.items()}
    expected = {theme: [_names(pair) for pair in pairs] for theme, pairs in english.items()}
    if shape != expected or set(shape) != themes:
        raise ValueError(f"{code}.toml: the sentences around events are not those of {ENGLISH}.toml")


def _names(pair: Sequence[str]) -> list[bool]:
    return ["{speaker}" in sentence for sentence in pair]
