"""The tables of `xmguard bench` on a terminal: for every run its rates, a section for each prompt, and its own numbers.

Said: the share that the model reports as conflicts in its own words; called: that the guard's verdict calls CONFLICT.
Columns in which nothing stands are left out. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xmguard_research.benchmarks import derived
from xmguard_research.benchmarks.derived import Number
from xmguard_research.benchmarks.summary import DETECTION, Asking, Cell, Key, Row, cells
from xmguard_research.metrics import Estimate

_LEFT_OUT = ("not\njudged", "no\nverdict", "not\nsteered", "failed")
_NOTHING = {"0", "–"}
_WORDS = {"", "sources", "number", "note"}
"""Columns that hold words, which may wrap."""
_Line = Sequence[str]


def show(rows: Sequence[Row], numbers: Mapping[Asking, Sequence[Number]], console: Console) -> None:
    """Print what `summary.markdown` and `derived.markdown` say, narrower."""
    runs: dict[Asking, dict[Key, Cell]] = {}
    for key, cell in cells(rows).items():
        runs.setdefault(Asking.of(key), {})[key] = cell
    for asking, own in runs.items():
        console.print(Text(", ".join(filter(None, asking)), style="bold"))
        for table in _tables(own, numbers.get(asking, ())):
            console.print(table)


def _tables(own: Mapping[Key, Cell], numbers: Sequence[Number]) -> Iterator[Table]:
    detection: dict[str, list[_Line]] = {}
    others: dict[str, list[_Line]] = {}
    for key, cell in own.items():
        if key.measure == DETECTION:
            detection.setdefault(key.prompt, []).extend(_detection(key.variant, cell))
        else:
            others.setdefault(f"{key.measure}, {key.prompt}", []).append(_measure(key.variant, cell))
    if detection:
        yield _rates(["sources", "said\nconflict", "called\nCONFLICT", "of", *_LEFT_OUT], detection)
    if others:
        yield _rates(["share", "of", *_LEFT_OUT], dict(sorted(others.items())))
    if numbers:
        yield _table(
            ["number", "value", "rows", "note"],
            [[one.name, derived.shown(one.estimate), str(one.rows), one.note] for one in numbers],
        )


def _detection(variant: str, cell: Cell) -> Iterator[_Line]:
    """A line for its conflicts and one for its controls, where it has some."""
    for truth, name in ((True, "conflict"), (False, "agree")):
        part = Cell(cell.of(truth))
        if part.rows:
            yield [variant, name, _short(part.rate()), _short(part.called(truth)), str(len(part.rows)), *_missing(part)]
            variant = ""


def _measure(variant: str, cell: Cell) -> _Line:
    return [variant, _short(cell.rate()), str(len(cell.rows)), *_missing(cell)]


def _missing(cell: Cell) -> list[str]:
    return [str(cell.unjudged), str(cell.unchecked), str(cell.unsteered), str(cell.failed)]


def _rates(head: Sequence[str], sections: Mapping[str, Sequence[_Line]]) -> Table:
    every = [line for lines in sections.values() for line in lines]
    kept = [place for place in range(1, len(head) + 1) if any(line[place] not in _NOTHING for line in every)]
    shown: list[_Line] = []
    for name, lines in sections.items():
        shown.append([name])
        shown += [[f"  {line[0]}", *(line[place] for place in kept)] for line in lines]
    return _table(["", *(head[place - 1] for place in kept)], shown)


def _table(head: Sequence[str], lines: Sequence[_Line]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in head:
        wordy = name in _WORDS
        made.add_column(name, no_wrap=not wordy, justify="left" if wordy else "right", overflow="fold")
    for line in lines:
        made.add_row(*(Text(cell, style="italic" if len(line) == 1 else "") for cell in line))
    return made


def _short(rate: Estimate | None) -> str:
    """A rate in percent and its interval."""
    if rate is None or rate.value is None or rate.low is None or rate.high is None:
        return "–"
    return f"{rate.value:.0%} {100 * rate.low:.0f}–{100 * rate.high:.0f}"
