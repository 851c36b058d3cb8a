"""Relations of the kinds that several pages have. Knows no page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from xmguard_research.benchmarks.mmir.page import Relation, Values, other
from xmguard_research.scenes.concepts import NAMES, THINGS

Cues = Callable[[Values], tuple[Sequence[str], Sequence[str]]]


def one_name(first: str, second: str, said: tuple[str, str], names: Sequence[str] = NAMES) -> Relation:
    """Two elements name the same person or maker; `said` are the names of both values."""
    kept, changed = said
    return Relation(
        "identity",
        first,
        second,
        lambda values: values[kept] == values[changed],
        lambda values, random: {changed: other(names, values[kept])(random)},
        lambda values: ((values[kept],), (values[changed],)),
    )


def one_thing(first: str, second: str) -> Relation:
    """The element `picture` shows the thing that the other one names."""
    told = ["shown" if name == "picture" else "thing" for name in (first, second)]

    def cues(values: Values) -> tuple[Sequence[str], Sequence[str]]:
        one, another = ((values[name], THINGS[values[name]].plural) for name in told)
        return one, another

    return Relation(
        "identity",
        first,
        second,
        lambda values: values["thing"] == values["shown"],
        lambda values, random: {"shown": other(tuple(THINGS), values["thing"])(random)},
        cues,
    )


def belongs(head: str, line: str, lines: Mapping[str, Sequence[str]], cues: Cues | None = None) -> Relation:
    """A line is one of those that go with the head alone. Both elements are called what their values are."""

    def another(values: Values, random: Random) -> dict[str, Any]:
        return {line: random.choice(lines[other(tuple(lines), values[head])(random)])}

    return Relation(
        "contextual",
        head,
        line,
        lambda values: values[line] in lines[values[head]],
        another,
        cues or (lambda values: ((values[head],), (values[line],))),
    )
