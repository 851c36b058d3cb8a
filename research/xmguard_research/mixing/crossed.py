"""Intervals over items and over training seeds: numbers of several checkpoints that were asked the same.

A bootstrap that draws items and seeds independently of each other (crossed factors; Owen 2007, the pigeonhole
bootstrap): every checkpoint of a draw is asked the same drawn items, and arms that share seeds share the drawn seeds,
so that arms are compared in pairs. With one seed it is the bootstrap over items of `metrics.Bootstrap`. Few seeds say
little about further ones: with 3, an interval is on the narrow side. Knows neither texts nor models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from xmguard_research.metrics import RESAMPLES, Estimate
from xmguard_research.metrics.draws import Array

Function: TypeAlias = Callable[..., Array]
"""Of sums of columns, each [draw], to a number [draw]; nan where it is undefined."""
_ROUNDING = 1e-9
"""Draws that differ by less, in relation to the number, are the same."""
_HAIR = 1e-12
"""Far below what any response is known to."""


@dataclass(frozen=True)
class Replicates:
    """A number as it is, and under every draw."""

    value: float
    draws: Array
    """[draw]."""

    def estimate(self) -> Estimate:
        """With its 95% interval; draws in which it is undefined are left out and counted.

        Draws that are all the same but for rounding have an interval of no width, which says nothing.
        """
        defined = self.draws[np.isfinite(self.draws)]
        undefined = len(self.draws) - len(defined)
        if not np.isfinite(self.value) or not len(defined):
            return Estimate(None, None, None, undefined)
        value = settled(self.value)
        if np.ptp(defined) <= _ROUNDING * max(1.0, abs(self.value)):
            return Estimate(value, value, value, undefined)
        low, high = np.percentile(defined, [2.5, 97.5])
        return Estimate(value, settled(float(low)), settled(float(high)), undefined)


class Crossed:
    """The same draws for every number on the same items and seeds.

    >>> draws = Crossed(["a", "b"], [0, 1])
    >>> rows = {0: (["a", "b"], [[1, 0], [1, 1]]), 1: (["a", "b"], [[1, 1], [1, 1]])}
    >>> draws.mean(lambda right, asked: right / asked, rows).value
    0.75
    """

    def __init__(
        self, items: Sequence[str], seeds: Sequence[int | None], *, resamples: int = RESAMPLES, seed: int = 0
    ) -> None:
        """`items` and `seeds` have every name at least once.

        Raises:
            ValueError: there are none.
        """
        if not len(items) or not len(seeds):
            raise ValueError("nothing to draw from: there are no items or no seeds")
        self._items = {name: place for place, name in enumerate(sorted(set(items)))}
        self._seeds = {name: place for place, name in enumerate(dict.fromkeys(seeds))}
        generator = np.random.default_rng(seed)
        self._item_times = _times(generator, len(self._items), resamples)
        self._seed_times = _times(generator, len(self._seeds), resamples)

    def mean(
        self, function: Function, rows: Mapping[int | None, tuple[Sequence[str], Sequence[Sequence[float]]]]
    ) -> Replicates:
        """Mean over checkpoints of a number that is made of sums of columns.

        Args:
            function: of as many sums as there are columns.
            rows: of each checkpoint by its seed: the item of every row, and columns [column][row]. The seed None is
                that of a checkpoint which is in every draw.

        Raises:
            ValueError: there is no checkpoint.
            KeyError: an item or a seed is not among those that are drawn from.
        """
        if not rows:
            raise ValueError("there is no checkpoint to take a number of")
        values, draws, weights = [], [], []
        for name, (items, columns) in rows.items():
            places = [self._items[item] for item in items]
            sums = [np.bincount(places, weights=np.asarray(one, float), minlength=len(self._items)) for one in columns]
            with np.errstate(divide="ignore", invalid="ignore"):
                values.append(float(function(*(np.array([one.sum()]) for one in sums))[0]))
                draws.append(np.asarray(function(*(self._item_times @ one for one in sums)), dtype=np.float64))
            weights.append(np.ones(len(draws[0])) if name is None else self._seed_times[:, self._seeds[name]])
        times = np.array(weights)
        # A checkpoint that is not drawn does not count, whatever its number: 0 times nan is nan.
        counted = np.where(times > 0, np.array(draws), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Replicates(float(np.mean(values)), (counted * times).sum(0) / times.sum(0))


def settled(number: float) -> float:
    """A number that rounding alone keeps from 0 or 1 as that: an end of -3e-17 would lie on one side of what is even.

    >>> settled(-3e-17), settled(1 + 2e-16), settled(1e-9)
    (0.0, 1.0, 1e-09)
    """
    return next((even for even in (0.0, 1.0) if abs(number - even) < _HAIR), number)


def difference(one: Replicates, other: Replicates) -> Replicates:
    """One minus the other, on the same draws."""
    return Replicates(one.value - other.value, one.draws - other.draws)


def ratio(one: Replicates, other: Replicates) -> Replicates:
    """One over the other, on the same draws; undefined where the other is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return Replicates(float(np.divide(one.value, other.value)), np.divide(one.draws, other.draws))


def _times(generator: np.random.Generator, count: int, resamples: int) -> Array:
    """How often each is drawn, [draw, one]."""
    drawn = generator.integers(count, size=(resamples, count)) + np.arange(resamples)[:, None] * count
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float64)
