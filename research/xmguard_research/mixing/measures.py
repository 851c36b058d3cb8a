"""Numbers of a checkpoint, of an arm over its seeds, and of one arm against another, with their 95% intervals.

An arm is what is trained in one way from several seeds; a checkpoint by itself is an arm of one. Items are drawn
together in every checkpoint, and seeds too (`crossed`); two arms are compared by the seeds that both have. Where every
item says the same, draws have no width: a rate then has Wilson's interval (`metrics.share`), and a difference of rates
one made of theirs (Zou and Donner 2008). Knows neither files nor figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xmguard_research.metrics import RESAMPLES, Estimate, share
from xmguard_research.mixing.crossed import Crossed, Replicates, difference, ratio, settled
from xmguard_research.mixing.evaluating import Response
from xmguard_research.mixing.quantities import DIVIDED, SUBTRACTED, Cell, Quantity, cells, shortfalls

Checkpoints = Mapping[int | None, Sequence[Response]]
"""Responses of every checkpoint of an arm by its seed; None of the one that all arms begin from."""
REDUCTION = "reduction of"
DIFFERENCE = "difference in"


@dataclass(frozen=True)
class Number:
    """One number."""

    arm: str
    against: str
    """The other arm of a comparison; empty without one."""
    suite: str
    variant: str
    prompt: str
    task: str
    what: str
    """A quantity's name; of a comparison after `DIFFERENCE` or `REDUCTION`."""
    estimate: Estimate
    items: int
    """Topics or triples that it is about."""
    rows: int
    """Responses that it is about, over all checkpoints."""
    seeds: int
    """Checkpoints."""
    against_rows: int = 0
    """Responses of the other arm."""
    against_seeds: int = 0
    """Checkpoints of the other arm."""


def of_checkpoint(rows: Sequence[Response], name: str = "", *, resamples: int = RESAMPLES) -> list[Number]:
    """Every number of one checkpoint."""
    return of_arms({name: {None: rows}}, resamples=resamples)


def values(rows: Sequence[Response]) -> Iterator[tuple[Cell, str, float | None]]:
    """Every number of one checkpoint without its interval: where it is, its name and value, None if undefined."""
    for cell, quantity in _every(rows):
        yield cell, quantity.what, quantity.of([row for row in rows if cell.takes(row)])


def of_arms(arms: Mapping[str, Checkpoints], *, resamples: int = RESAMPLES) -> list[Number]:
    """Every number of every arm: the mean over its checkpoints.

    Raises:
        ValueError: two checkpoints were not asked the same, or one was asked nothing.
    """
    _require_same(arms)
    return [
        _number(arm, "", cell, quantity, quantity.what, _of(quantity, cell, checkpoints, draws), [checkpoints])
        for arm, checkpoints in arms.items()
        for draws in [_draws(checkpoints, resamples)]
        for cell, quantity in _every(next(iter(checkpoints.values())))
    ]


def comparisons(
    arms: Mapping[str, Checkpoints], pairs: Sequence[tuple[str, str]], *, resamples: int = RESAMPLES
) -> list[Number]:
    """Every pair of arms: the first minus the second, and how many times as much imbalance the second has.

    Of the seeds that both have; a pair without one has no number.

    Raises:
        ValueError: two checkpoints were not asked the same.
        KeyError: there is no such arm.
    """
    _require_same(arms)
    return [number for one, other in pairs for number in _compared(one, other, arms, resamples)]


def paired(one: Checkpoints, other: Checkpoints) -> list[Checkpoints]:
    """Both arms with the seeds that both have; whole where one of them is not trained from several. Empty if none."""
    if None in one or None in other:
        return [one, other]
    shared = [seed for seed in one if seed in other]
    return [{seed: arm[seed] for seed in shared} for arm in (one, other)] if shared else []


def _compared(one: str, other: str, arms: Mapping[str, Checkpoints], resamples: int) -> Iterator[Number]:
    both = paired(arms[one], arms[other])
    if not both:
        return
    draws = _draws({seed: rows for arm in both for seed, rows in arm.items()}, resamples)
    for cell, quantity in _every(next(iter(both[0].values()))):
        first, second = (_of(quantity, cell, checkpoints, draws) for checkpoints in both)
        if quantity.what in SUBTRACTED:
            yield _number(one, other, cell, quantity, f"{DIFFERENCE} {quantity.what}", difference(first, second), both)
        if quantity.what in DIVIDED:
            yield _number(one, other, cell, quantity, f"{REDUCTION} {quantity.what}", ratio(second, first), both)


def _every(rows: Sequence[Response]) -> Iterator[tuple[Cell, Quantity]]:
    for cell in (*cells(rows), *shortfalls(rows)):
        for quantity in cell.quantities:
            yield cell, quantity


def _require_same(arms: Mapping[str, Checkpoints]) -> None:
    every = [(arm, seed, rows) for arm, checkpoints in arms.items() for seed, rows in checkpoints.items()]
    if not every or not all(rows for *_, rows in every):
        raise ValueError("a checkpoint without responses has no numbers")
    asked = sorted(row.key for row in every[0][2])
    for arm, seed, rows in every[1:]:
        if sorted(row.key for row in rows) != asked:
            raise ValueError(f"{arm}, seed {seed}, was not asked what {every[0][0]} was: evaluate both alike")


def _draws(checkpoints: Checkpoints, resamples: int) -> Crossed:
    seeds = [seed for seed in checkpoints if seed is not None]
    items = [row.item for row in next(iter(checkpoints.values()))]
    return Crossed(items, seeds or [0], resamples=resamples)


def _of(quantity: Quantity, cell: Cell, checkpoints: Checkpoints, draws: Crossed) -> Replicates:
    own = {}
    for seed, rows in checkpoints.items():
        taken = [row for row in rows if cell.takes(row)]
        own[seed] = ([row.item for row in taken], [[column(row) for row in taken] for column in quantity.columns])
    return draws.mean(quantity.function, own)


def _number(
    arm: str,
    against: str,
    cell: Cell,
    quantity: Quantity,
    what: str,
    found: Replicates,
    checkpoints: Sequence[Checkpoints],
) -> Number:
    taken = [[row for rows in one.values() for row in rows if cell.takes(row)] for one in checkpoints]
    counted = [[row for row in rows if quantity.takes(row)] for rows in taken]
    estimate = found.estimate()
    if estimate.value is not None and estimate.low == estimate.high:
        estimate = _with_width(estimate, quantity, taken)
    first, *other = [(len(rows), len(one)) for rows, one in zip(counted, checkpoints, strict=True)]
    items = len({row.item for row in counted[0]})
    names = (cell.suite, cell.variant, cell.prompt, cell.task, what)
    return Number(arm, against, *names, estimate, items, *first, *(other[0] if other else ()))


def _with_width(estimate: Estimate, quantity: Quantity, taken: Sequence[Sequence[Response]]) -> Estimate:
    """The interval of a sum of shares whose draws are all the same, from the shares' own; else as it is.

    Of one arm, or of the first minus the second. Zou and Donner 2008, which is Newcombe's for a difference of two.
    """
    if not quantity.shares:
        return estimate
    below = above = 0.0
    for sign, rows in zip((1.0, -1.0), taken, strict=False):
        for weight, counted, asked in quantity.shares:
            own = [row for row in rows if asked(row)]
            part = share([bool(counted(row)) for row in own], [row.item for row in own])
            if part.value is None or part.low is None or part.high is None:
                return estimate
            ends = sign * weight * (part.low - part.value), sign * weight * (part.high - part.value)
            below, above = below + min(ends) ** 2, above + max(ends) ** 2
    # Rounding may lead a hair past what a sum of shares can be.
    weights = [sign * weight for sign, _ in zip((1.0, -1.0), taken, strict=False) for weight, _, _ in quantity.shares]
    least, most = sum(min(0.0, weight) for weight in weights), sum(max(0.0, weight) for weight in weights)
    value = estimate.value or 0.0
    low, high = max(least, value - math.sqrt(below)), min(most, value + math.sqrt(above))
    return Estimate(value, settled(low), settled(high), estimate.undefined)
