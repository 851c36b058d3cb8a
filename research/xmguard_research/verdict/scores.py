"""How well scores tell conflicts from the rest, with intervals that respect items.

Every interval is a percentile bootstrap over whole items (2,000 draws, 2.5 and 97.5 percentiles); draws are
multiplicities of rows, so that two scores are compared under the same ones. A draw in which a number is undefined,
because one class is missing, is left out and counted. An item that is drawn twice is compared with itself: where
conflicts beat their own twins more often than strangers, the interval of an AUROC leans upward; `within_items` shows
how far apart the two are. Knows neither texts nor models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
FALSE_ALARMS = 0.1
BINS = 15
_CHUNK = 100
"""Draws that are computed at once."""

Array: TypeAlias = NDArray[np.float64]
Metric: TypeAlias = Callable[[Array, Array, Array], Array]
"""(conflict 0 or 1 [row], value [row], multiplicity [draw, row]) to the number [draw]; nan where it is undefined."""


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
    """The same draws for every number on the same rows."""

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

    def estimate(self, metric: Metric, conflict: Sequence[bool], values: Sequence[float]) -> Estimate:
        """The metric on the rows as they are, and its interval."""
        return _interval(*self._draws(metric, conflict, values))

    def difference(
        self, metric: Metric, conflict: Sequence[bool], values: Sequence[float], others: Sequence[float]
    ) -> Estimate:
        """The metric of `values` minus that of `others`, paired: both on the same draws."""
        (value, draws), (other, other_draws) = (self._draws(metric, conflict, each) for each in (values, others))
        return _interval(value - other, draws - other_draws)

    def within_items(self, conflict: Sequence[bool], values: Sequence[float]) -> Estimate:
        """AUROC that compares a conflict only with the other pairs of its item, each such comparison counted once.

        What differs between items (their topic, their length) plays no part in it.
        """
        labels, scores = np.array(conflict, dtype=bool), np.array(values, dtype=np.float64)
        won, compared = np.zeros(self._times.shape[1]), np.zeros(self._times.shape[1])
        for item in range(len(won)):
            here = self._item == item
            gaps = scores[here & labels][:, None] - scores[here & ~labels]
            won[item] = (gaps > 0).sum() + (gaps == 0).sum() / 2
            compared[item] = gaps.size
        with np.errstate(invalid="ignore"):
            value = float(np.divide(won.sum(), compared.sum()))
            return _interval(value, np.asarray((self._times @ won) / (self._times @ compared)))

    def _draws(self, metric: Metric, conflict: Sequence[bool], values: Sequence[float]) -> tuple[float, Array]:
        labels, scores = np.array(conflict, dtype=np.float64), np.array(values, dtype=np.float64)
        if not np.isfinite(scores).all():
            raise ValueError("scores must be finite; give missing ones their neutral value first")
        whole = metric(labels, scores, np.ones((1, len(labels))))
        parts = [
            metric(labels, scores, self._times[first : first + _CHUNK, self._item].astype(np.float64))
            for first in range(0, len(self._times), _CHUNK)
        ]
        return float(whole[0]), np.concatenate(parts)


def auroc(conflict: Array, values: Array, times: Array) -> Array:
    """Probability that a conflict scores above another pair, ties counted half."""
    positives, negatives = _by_value(conflict, values, times)
    below = negatives.cumsum(1) - negatives / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((positives * below).sum(1) / (positives.sum(1) * negatives.sum(1)))


def recall_at_false_alarms(conflict: Array, values: Array, times: Array) -> Array:
    """Highest share of conflicts found at a threshold that at most 10% of the other pairs reach; not interpolated."""
    positives, negatives = (counts[:, ::-1].cumsum(1) for counts in _by_value(conflict, values, times))
    # Counts are whole numbers; half of one keeps 10% of them from being missed by a rounding error.
    allowed = negatives < np.floor(FALSE_ALARMS * negatives[:, -1:] + 1e-9) + 0.5
    defined = (positives[:, -1] > 0) & (negatives[:, -1] > 0)
    with np.errstate(invalid="ignore"):
        return np.where(defined, (positives * allowed).max(1) / positives[:, -1], np.nan)


def brier(conflict: Array, values: Array, times: Array) -> Array:
    """Mean squared distance of the probability of a conflict from what is true (Brier 1950, two classes as one)."""
    return np.asarray((times * (values - conflict) ** 2).sum(1) / times.sum(1))


def ece(conflict: Array, values: Array, times: Array) -> Array:
    """Expected calibration error over 15 bins of equal mass.

    Mean over the pairs of |mean probability - share of conflicts| of their bin. Equal probabilities stay together: a
    group of them is in the bin in which its middle rank lies, so that there can be fewer bins. Biased upward when
    pairs are few, and a bootstrap adds to that.
    """
    _, first, weights, gaps = _bins(conflict, values, times)
    draws = len(times)
    place = first + np.arange(draws)[:, None] * BINS
    sums = np.bincount(place.ravel(), weights=gaps.ravel(), minlength=draws * BINS).reshape(draws, BINS)
    return np.asarray(np.abs(sums).sum(1) / weights.sum(1))


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability plot."""

    probability: float
    """Mean of the probabilities."""
    conflicts: float
    """Share that are conflicts."""
    pairs: int


def reliability(conflict: Sequence[bool], probabilities: Sequence[float]) -> list[Bin]:
    """The bins of `ece`, those that hold something."""
    labels, values = np.array(conflict, dtype=np.float64), np.array(probabilities, dtype=np.float64)
    groups, first, weights, gaps = _bins(labels, values, np.ones((1, len(labels))))
    found = []
    for number in np.unique(first[0]):
        here = first[0] == number
        pairs = weights[0, here].sum()
        probability = (groups[here] * weights[0, here]).sum() / pairs
        conflicts = probability - gaps[0, here].sum() / pairs
        found.append(Bin(float(probability), float(conflicts), int(pairs)))
    return found


def _by_value(conflict: Array, values: Array, times: Array) -> tuple[Array, Array]:
    """Multiplicity of conflicts and of the others at each distinct value, ascending: [draw, distinct value]."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))
    sorted_times, labels = times[:, order], conflict[order]
    return (
        np.add.reduceat(sorted_times * labels, starts, axis=1),
        np.add.reduceat(sorted_times * (1.0 - labels), starts, axis=1),
    )


def _bins(conflict: Array, values: Array, times: Array) -> tuple[Array, NDArray[np.int64], Array, Array]:
    """Distinct values, their bin [draw, value], their multiplicity, and the sum of value - conflict over it."""
    positives, negatives = _by_value(conflict, values, times)
    weights = positives + negatives
    middle = (weights.cumsum(1) - weights / 2) / weights.sum(1, keepdims=True)
    groups = np.unique(values)
    # A group that was not drawn can have its middle rank at the very end.
    return groups, np.minimum((middle * BINS).astype(np.int64), BINS - 1), weights, weights * groups - positives


def _interval(value: float, draws: Array) -> Estimate:
    defined = draws[np.isfinite(draws)]
    undefined = len(draws) - len(defined)
    if not np.isfinite(value) or not len(defined):
        return Estimate(None, None, None, undefined)
    low, high = np.percentile(defined, [2.5, 97.5])
    return Estimate(value, float(low), float(high), undefined)
