"""The numbers of a report: rates of `summary.Cell` by name, their means over variants, and what was left out.

Knows no page and no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xmguard_research.benchmarks.summary import DETECTION, Cell, Key, Row, cells
from xmguard_research.metrics import Bootstrap, Estimate, share
from xmguard_research.reports.values import KINDS, Material, by_prompt

ABSENT = Estimate(None, None, None, 0)


@dataclass(frozen=True)
class Quantity:
    """What is counted in rows."""

    name: str
    title: str
    conflict: bool | None
    """Of conflicts, of controls, or of all rows."""
    of: Callable[[Row], bool | None]
    """Whether a row counts; None where nobody knows."""

    @property
    def verdict(self) -> bool:
        """Whether it is the guard that says so, and not the model's own words."""
        return self.of is _called


def _found(row: Row) -> bool | None:
    return row.found


def _called(row: Row) -> bool | None:
    return None if row.decision is None else row.decision == "CONFLICT"


SAID = Quantity("conflicts_said", "conflicts said", True, _found)
FALSE_ALARMS = Quantity("false_alarms", "false alarms", False, _found)
CALLED = Quantity("conflicts_called", "conflicts called CONFLICT", True, _called)
CONTROLS_CALLED = Quantity("controls_called", "controls called CONFLICT", False, _called)
OF_DETECTION = (SAID, FALSE_ALARMS, CALLED, CONTROLS_CALLED)
SHARE = Quantity("share", "share", None, _found)


@dataclass(frozen=True)
class Rate:
    """A rate and the rows behind it."""

    quantity: Quantity
    estimate: Estimate
    counted: tuple[Row, ...]
    others: tuple[Row, ...]

    @property
    def rows(self) -> int:
        """Rows that it is taken over."""
        return len(self.counted) + len(self.others)


@dataclass(frozen=True)
class Line:
    """All numbers of one cell."""

    key: Key
    kind: str
    cell: Cell
    rates: tuple[Rate, ...]

    def rate(self, quantity: Quantity) -> Rate:
        """The one of a quantity."""
        return next(rate for rate in self.rates if rate.quantity is quantity)


@dataclass(frozen=True)
class Mean:
    """A quantity over the variants of one kind, each weighted alike."""

    key: Key
    """Its variant is the kind."""
    variants: int
    rates: tuple[Rate, ...]


def quantities(measure: str) -> tuple[Quantity, ...]:
    """What is counted in rows of a measure."""
    return OF_DETECTION if measure == DETECTION else (SHARE,)


def lines(material: Material) -> list[Line]:
    """The numbers of every cell, in order of their keys."""
    return [
        Line(key, _kind(material, cell), cell, tuple(_rate(one, cell.rows) for one in quantities(key.measure)))
        for key, cell in cells(material.rows).items()
    ]


def _rate(quantity: Quantity, rows: Iterable[Row]) -> Rate:
    own, counted, others = split(quantity, rows)
    estimate = share([bool(quantity.of(row)) for row in own], [row.item for row in own]) if own else ABSENT
    return Rate(quantity, estimate, tuple(counted), tuple(others))


def split(quantity: Quantity, rows: Iterable[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows of which is known whether they count, those that do, and those that do not."""
    own = [row for row in rows if row.conflict is quantity.conflict or quantity.conflict is None]
    known = [row for row in own if quantity.of(row) is not None]
    return known, [row for row in known if quantity.of(row)], [row for row in known if not quantity.of(row)]


def _kind(material: Material, cell: Cell) -> str:
    found = {material.response(row).kind for row in cell.rows}
    return found.pop() if len(found) == 1 else KINDS[-1]


def means(every: Sequence[Line]) -> list[Mean]:
    """Every quantity over the variants of a kind, by asking, prompt and measure, kinds in their order."""
    grouped: dict[Key, list[Line]] = {}
    for line in every:
        grouped.setdefault(line.key._replace(variant=line.kind), []).append(line)
    order = sorted(grouped, key=lambda key: (key[:3], by_prompt(key.prompt), key.measure, KINDS.index(key.variant)))
    return [
        Mean(key, len(grouped[key]), tuple(_mean(one, grouped[key]) for one in quantities(key.measure)))
        for key in order
    ]


def _mean(quantity: Quantity, own: Iterable[Line]) -> Rate:
    rates = [line.rate(quantity) for line in own]
    with_rows = [rate for rate in rates if rate.rows]
    counted = tuple(row for rate in with_rows for row in rate.counted)
    others = tuple(row for rate in with_rows for row in rate.others)
    if not with_rows:
        return Rate(quantity, ABSENT, (), ())
    if not counted or not others or len(with_rows) == 1:
        values = [True] * len(counted) + [False] * len(others)
        return Rate(quantity, share(values, [row.item for row in (*counted, *others)]), counted, others)
    return Rate(quantity, _of_variants(with_rows), counted, others)


def _of_variants(rates: Sequence[Rate]) -> Estimate:
    """Mean over variants of their shares; whole items are drawn, with their rows of every variant.

    Where every draw is the same, because no variant has items that differ, its ends are the means of the variants' own.
    """
    rows = [(place, row, hit) for place, rate in enumerate(rates) for row, hit in _hits(rate)]
    columns = []
    for place in range(len(rates)):
        columns.append([float(hit and place == own) for own, _, hit in rows])
        columns.append([float(place == own) for own, _, _ in rows])

    def mean(*sums: np.ndarray) -> np.ndarray:
        shares = [hits / asked for hits, asked in zip(sums[::2], sums[1::2], strict=True)]
        return np.asarray(sum(shares) / len(shares))

    found = Bootstrap([row.item for _, row, _ in rows]).of_sums(mean, *columns)
    if found.low != found.high:
        return found
    ends = [(rate.estimate.low or 0.0, rate.estimate.high or 0.0) for rate in rates]
    low, high = (sum(each) / len(rates) for each in zip(*ends, strict=True))
    return Estimate(found.value, low, high, found.undefined)


def _hits(rate: Rate) -> Iterator[tuple[Row, bool]]:
    yield from ((row, True) for row in rate.counted)
    yield from ((row, False) for row in rate.others)


def left_out(rows: Iterable[Row]) -> Mapping[str, list[Row]]:
    """Responses that failed, a row of each whatever number of scorers wait for it, and rows that nobody could judge."""
    every = list(rows)
    failed = {(row.log, row.sample): row for row in every if row.failed}
    return {
        "failed": list(failed.values()),
        "unjudged": [row for row in every if row.found is None and not row.failed],
    }
