"""95% intervals that respect items: rows of one item (its variants, orders and prompts) are drawn together.

A percentile bootstrap over whole items (Davison and Hinkley 1997, sections 3.8 and 5.3): 2,000 draws, 2.5 and 97.5
percentiles; scipy's has no clusters. A draw in which a number is undefined, because one class is missing, is left out
and counted. An item that is drawn twice is compared with itself: where conflicts beat their own twins more often than
strangers, the interval of an AUROC leans upward; `won_within_items` shows how far apart the two are. Where all items
say the same, the interval has no width, however few they are; `share` gives one that has. Knows
neither texts nor models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xmguard_research.metrics.draws import Array, Metric

RESAMPLES = 2000
_CHUNK = 100
"""Draws that are computed at once."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None
    undefined: int
    """Draws that were left out of the interval."""

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval."""
        return self.low is not None and self.high is not None and not self.low <= 0.0 <= self.high


class Bootstrap:
    """The same draws for every number on the same rows.

    >>> bootstrap = Bootstrap(["a", "a", "b", "c"])
    >>> bootstrap.of_sums(lambda right, asked: right / asked, [1, 1, 0, 1], [1, 1, 1, 1]).value
    0.75
    """

    def __init__(self, items: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        """`items` has the item of every row.

        Raises:
            ValueError: there are no rows.
        """
        if not items:
            raise ValueError("nothing to draw from: there are no rows")
        names, self._item = np.unique(np.array(items), return_inverse=True)
        generator = np.random.default_rng(seed)
        drawn = generator.integers(len(names), size=(resamples, len(names)))
        flat = drawn + np.arange(resamples)[:, None] * len(names)
        self._times = np.bincount(flat.ravel(), minlength=resamples * len(names)).reshape(resamples, len(names))

    def of_sums(self, function: Callable[..., Array], *columns: Sequence[float]) -> Estimate:
        """A number made of the sums of columns: a rate, a ratio of means, a difference or a mean of several of them.

        `function` takes as many arrays [draw] as there are columns, and gives one.

        Raises:
            ValueError: a column is not as long as the rows, or holds what is not finite.
        """
        items = self._times.shape[1]
        sums = [np.bincount(self._item, weights=self._column(column), minlength=items) for column in columns]
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(function(*(of_item.sum() for of_item in sums)))
            return _interval(value, np.asarray(function(*(self._times @ of_item for of_item in sums))))

    def estimate(self, metric: Metric, labels: Sequence[bool], values: Sequence[float]) -> Estimate:
        """The metric on the rows as they are, and its interval.

        Raises:
            ValueError: a column is not as long as the rows, or a value is not finite.
        """
        return _interval(*self._draws(metric, labels, values))

    def difference(
        self, metric: Metric, labels: Sequence[bool], values: Sequence[float], others: Sequence[float]
    ) -> Estimate:
        """The metric of `values` minus that of `others`, paired: both on the same draws.

        Raises:
            ValueError: a column is not as long as the rows, or a value is not finite.
        """
        (value, draws), (other, other_draws) = (self._draws(metric, labels, each) for each in (values, others))
        return _interval(value - other, draws - other_draws)

    def _draws(self, metric: Metric, labels: Sequence[bool], values: Sequence[float]) -> tuple[float, Array]:
        truth, scores = self._column(labels), self._column(values)
        whole = metric(truth, scores, np.ones((1, len(truth))))
        parts = [
            metric(truth, scores, self._times[first : first + _CHUNK, self._item].astype(np.float64))
            for first in range(0, len(self._times), _CHUNK)
        ]
        return float(whole[0]), np.concatenate(parts)

    def _column(self, values: Sequence[float]) -> Array:
        column = np.array(values, dtype=np.float64)
        if column.shape != self._item.shape:
            raise ValueError(f"a column of {len(column)} values cannot be drawn with {len(self._item)} rows")
        if not np.isfinite(column).all():
            raise ValueError("scores must be finite; give missing ones their neutral value first")
        return column


def _interval(value: float, draws: Array) -> Estimate:
    defined = draws[np.isfinite(draws)]
    undefined = len(draws) - len(defined)
    if not np.isfinite(value) or not len(defined):
        return Estimate(None, None, None, undefined)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Estimate(value, float(low), float(high), undefined)
