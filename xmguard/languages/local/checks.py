"""What can be found wrong with the tables of a language before anything is read with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from xmguard.languages.english.units import SYMBOLS
from xmguard.languages.folding import folded
from xmguard.languages.local.tables import NumberWords, Tables

_NEEDED = "yes no unknown conflict no_conflict asks_number"
_PATTERNS = f"{_NEEDED} unit_link date_between date_after_day date_end minus unread ordinal fraction but when"
_NUMBER_PATTERNS = "half_of and_half glued"
_HOUR = {"hour"}
_TIME = _HOUR | {"minute", "am", "pm", "night"}
_NO_LETTERS = re.compile(r"\\.|\(\?P[<=]\w+[>)]|\(\?[a-zA-Z]+[:)]", re.DOTALL)
"""What holds letters in a pattern and stands for others: escapes, names of groups, flags."""


def check(tables: Tables) -> None:
    """Refuse tables that would be read otherwise than they are meant, or never.

    Raises:
        ValueError: with the language, and everything found, each by its field.
    """
    wrong = [
        *_patterns(tables),
        *_times(tables),
        *_ranges(tables),
        *_rewrites(tables),
        *_names(tables),
        *_numbers(tables.numbers),
    ]
    if len(tables.months) != 12 or not all(names.split() for names in tables.months):
        wrong.append(f"months: {len(tables.months)} entries; twelve are needed, each with the names of a month")
    if unknown := sorted(set(tables.units) - set(SYMBOLS)):
        wrong.append(f"units: {', '.join(unknown)} not known; known are {', '.join(SYMBOLS)}")
    if wrong:
        raise ValueError(f"{tables.name or tables.tag}: {'; '.join(wrong)}")


def _patterns(tables: Tables) -> Iterator[str]:
    for field in _PATTERNS.split():
        pattern = getattr(tables, field)
        yield from _pattern(field, pattern)
        if field in _NEEDED.split() and (not pattern or _matches_nothing(pattern)):
            yield f"{field}: matches the empty text, and so every answer; write what it is to find"
    for field in _NUMBER_PATTERNS.split():
        yield from _pattern(f"numbers.{field}", getattr(tables.numbers, field))


def _times(tables: Tables) -> Iterator[str]:
    for index, pattern in enumerate(tables.times):
        field = f"times[{index}]"
        broken = list(_pattern(field, pattern))
        yield from broken
        if not broken:
            groups = set(re.compile(pattern).groupindex)
            if not _HOUR <= groups <= _TIME:
                found = ", ".join(sorted(groups)) or "none"
                yield f"{field}: has the groups {found}; hour is needed, minute, am, pm and night are possible"


def _ranges(tables: Tables) -> Iterator[str]:
    for index, pattern in enumerate(tables.ranges):
        yield from _pattern(f"ranges[{index}]", pattern)
        if pattern.count("#") != 2:
            yield f"ranges[{index}]: has {pattern.count('#')} ends; two are needed, each written as #"


def _rewrites(tables: Tables) -> Iterator[str]:
    for name in ("rewrites", "rewrites_of_numbers"):
        for index, (pattern, template) in enumerate(getattr(tables, name)):
            field = f"{name}[{index}]"
            broken = list(_pattern(field, pattern))
            yield from broken
            if not broken:
                groups = re.compile(pattern).groups
                if beyond := [group for group in re.findall(r"\\(\d)", template) if int(group) > groups]:
                    yield f"{field}: the template names group {beyond[0]}; the pattern has {groups}"


def _names(tables: Tables) -> Iterator[str]:
    for field, names in (
        ("months", tables.months),
        ("units", tables.units.values()),
        ("weekdays", [tables.weekdays]),
        ("telling", [tables.telling]),
        ("numbers.spelled", tables.numbers.spelled),
        ("numbers.scales", tables.numbers.scales),
    ):
        yield from _unfolded(field, " ".join(names).split())


def _numbers(words: NumberWords) -> Iterator[str]:
    if beyond := [word for word, value in words.spelled.items() if not 0 <= value <= 999]:
        yield f"numbers.spelled: {beyond[0]!r} is {words.spelled[beyond[0]]}; 0 to 999 are spelled, above are scales"
    for word, value in words.scales.items():
        if value and (value < 1000 or str(value).rstrip("0") != "1"):
            yield f"numbers.scales: {word!r} is {value}; a power of ten from a thousand on is needed, or 0"
    if stray := sorted(words.bare_scales - set(words.scales)):
        yield f"numbers.bare_scales: {', '.join(stray)} not among the scales"


def _pattern(field: str, pattern: str) -> Iterator[str]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"{field}: is no pattern, {error}"
        return
    yield from _unfolded(field, [_NO_LETTERS.sub("", pattern)])


def _matches_nothing(pattern: str) -> bool:
    try:
        return re.compile(pattern).search("") is not None
    except re.error:
        return False  # told already


def _unfolded(field: str, texts: Collection[str]) -> Iterator[str]:
    """Text is folded before it is looked at, so what is not folded is never found."""
    if stray := [letter for letter in dict.fromkeys("".join(texts)) if folded(letter) != letter]:
        yield f"{field}: {' '.join(stray)} never occurs in folded text; write {folded(''.join(stray))!r}"
