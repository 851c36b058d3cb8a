"""Numbers that are a suite's own: made of its rows, and more than a rate of one kind of them.

A suite names the function that makes them in its `BenchmarkProvider`; it is given the rows of one model in one setting.
Knows no suite.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xmguard.errors import PluginError
from xmguard.plugins import Registry
from xmguard_research.benchmarks.labels import suite_name
from xmguard_research.benchmarks.summary import Asking, Row, table
from xmguard_research.metrics import Estimate


@dataclass(frozen=True)
class Number:
    """A number of a suite."""

    name: str
    estimate: Estimate
    """With its interval over items; all None where it is not defined."""
    rows: int
    """That it is made of."""
    note: str = ""
    """Why it is not defined, or what was left out."""


Numbers = Callable[[Sequence[Row]], Sequence[Number]]
UNDEFINED = Estimate(None, None, None, 0)


def numbers(rows: Sequence[Row], registry: Registry) -> dict[Asking, Sequence[Number]]:
    """The numbers of every run whose suite has some; rows without a response, or not judged, are left out.

    Raises:
        PluginError: what a suite names does not exist.
    """
    runs: dict[Asking, list[Row]] = {}
    for row in rows:
        if row.found is not None:
            runs.setdefault(Asking.of(row.key), []).append(row)
    made = {}
    for run, own in sorted(runs.items()):
        provider = registry.benchmarks.get(suite_name(run.suite))
        if provider is not None and provider.numbers:
            made[run] = _loaded(provider.name, provider.numbers)(own)
    return made


def markdown(rows: Sequence[Row], registry: Registry) -> str:
    """A table of them; empty where no suite has any."""
    lines = [
        [*run, one.name, shown(one.estimate), str(one.rows), one.note]
        for run, own in numbers(rows, registry).items()
        for one in own
    ]
    return table(["suite", "model", "setting", "number", "value", "rows", "note"], lines) if lines else ""


def shown(number: Estimate) -> str:
    """A number with its interval, in its own unit."""
    if number.value is None:
        return "–"
    if number.low is None or number.high is None:
        return f"{number.value:.2f}"
    return f"{number.value:.2f} [{number.low:.2f}, {number.high:.2f}]"


def _loaded(suite: str, target: str) -> Numbers:
    module, _, function = target.partition(":")
    try:
        made: Numbers = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"suite {suite!r}: its numbers {target} do not load: {error}") from error
    return made
