"""Settings side by side: the same samples asked in both, question by question.

A difference is that of two rates over the samples that both settings have a word on. Knows no page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from xmguard_research.benchmarks.summary import Key, Row
from xmguard_research.metrics import Bootstrap, Estimate, mcnemar, sign_flip_p_value
from xmguard_research.reports.numbers import Line, Quantity, quantities

MCNEMAR, SIGN_FLIPS = "McNemar", "sign flips"


@dataclass(frozen=True)
class Comparison:
    """One quantity of one cell in two settings."""

    key: Key
    """Its setting is the second one."""
    kind: str
    """Of `values.KINDS`."""
    first: str
    """The other setting."""
    quantity: Quantity
    both: tuple[tuple[Row, Row], ...]
    """Samples that both settings have a word on, as they are in the first and the second."""
    gained: tuple[tuple[Row, Row], ...]
    """Those that count in the second alone."""
    lost: tuple[tuple[Row, Row], ...]
    difference: Estimate
    """Second minus first; without an interval where the two never differ."""
    test: str
    p_value: float | None
    adjusted: float | None = None
    """By Holm, over all comparisons of the same two settings."""


def comparisons(lines: Sequence[Line]) -> list[Comparison]:
    """Every pair of settings of every cell, where both have samples in common."""
    cells: dict[Key, dict[str, Line]] = {}
    for line in lines:
        cells.setdefault(line.key._replace(setting=""), {})[line.key.setting] = line
    families: dict[tuple[str, str, str, str], list[Comparison]] = {}
    for key, settings in cells.items():
        for first, second in combinations(sorted(settings), 2):
            family = families.setdefault((key.suite, key.model, first, second), [])
            family += _of_cell(settings[first], settings[second])
    return [one for family in families.values() for one in _adjusted(family)]


def _of_cell(first: Line, second: Line) -> Iterator[Comparison]:
    before = {row.sample: row for row in first.cell.rows}
    pairs = [(before[row.sample], row) for row in second.cell.rows if row.sample in before]
    for quantity in quantities(first.key.measure):
        own = [pair for pair in pairs if quantity.conflict is None or pair[0].conflict is quantity.conflict]
        both = [pair for pair in own if None not in (quantity.of(pair[0]), quantity.of(pair[1]))]
        if both:
            yield _compared(second, first.key.setting, quantity, both)


def _compared(second: Line, first: str, quantity: Quantity, both: Sequence[tuple[Row, Row]]) -> Comparison:
    said = [(bool(quantity.of(one)), bool(quantity.of(other))) for one, other in both]
    changes = [float(after) - float(before) for before, after in said]
    items = [row.item for row, _ in both]
    if len(set(items)) == len(items):
        test, p_value = MCNEMAR, mcnemar([one for one, _ in said], [other for _, other in said]).p_value
    else:
        test, p_value = SIGN_FLIPS, sign_flip_p_value(items, changes)
    return Comparison(
        second.key,
        second.kind,
        first,
        quantity,
        tuple(both),
        tuple(pair for pair, change in zip(both, changes, strict=True) if change > 0),
        tuple(pair for pair, change in zip(both, changes, strict=True) if change < 0),
        _difference(items, changes),
        test,
        p_value,
    )


def _difference(items: Sequence[str], changes: Sequence[float]) -> Estimate:
    if not any(changes):
        return Estimate(0.0, None, None, 0)
    return Bootstrap(items).of_sums(np.divide, changes, [1.0] * len(changes))


def _adjusted(family: Sequence[Comparison]) -> list[Comparison]:
    known = holm([one.p_value for one in family if one.p_value is not None])
    values = iter(known)
    return [one if one.p_value is None else replace(one, adjusted=next(values)) for one in family]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values for several tests at once, in their order (Holm 1979): the chance of any false one stays below alpha.

    The k-th smallest of n becomes the largest of (n - j + 1) p_j over all j <= k, at most 1.

    >>> holm([0.01, 0.04, 0.02])
    [0.03, 0.04, 0.04]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
