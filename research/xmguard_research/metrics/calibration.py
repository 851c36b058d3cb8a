"""Whether probabilities of a conflict mean what they say: Brier score, expected calibration error, reliability bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xmguard_research.metrics.columns import require_equal_lengths
from xmguard_research.metrics.draws import Array, by_value

BINS = 15


def brier(conflict: Array, values: Array, times: Array) -> Array:
    """Mean squared distance of the probability of a conflict from what is true (Brier 1950, two classes as one).

    >>> import numpy as np
    >>> round(float(brier(np.array([1.0, 0.0]), np.array([0.8, 0.4]), np.ones((1, 2)))[0]), 9)
    0.1
    """
    return np.asarray((times * (values - conflict) ** 2).sum(1) / times.sum(1))


def ece(conflict: Array, values: Array, times: Array) -> Array:
    """Expected calibration error over 15 bins of equal mass (Naeini et al. 2015).

    Mean over the pairs of |mean probability - share of conflicts| of their bin. Equal probabilities stay together: a
    group of them is in the bin in which its middle rank lies, so that there can be fewer bins. Biased upward when
    pairs are few, and a bootstrap adds to that.

    >>> import numpy as np
    >>> conflict = np.array([1.0] * 9 + [0.0] * 6 + [1.0] * 6 + [0.0] * 9)
    >>> round(float(ece(conflict, np.array([0.8] * 15 + [0.2] * 15), np.ones((1, 30)))[0]), 9)
    0.2
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
    """Share of conflicts."""
    pairs: int


def reliability(conflict: Sequence[bool], probabilities: Sequence[float], *, bins: int = BINS) -> list[Bin]:
    """The bins of `ece`, those that hold something; another number of them where 15 would hold too little each.

    Raises:
        ValueError: the columns have different lengths.

    >>> reliability([True, False, False, False], [0.5, 0.5, 0.0, 0.0])
    [Bin(probability=0.0, conflicts=0.0, pairs=2), Bin(probability=0.5, conflicts=0.5, pairs=2)]
    """
    require_equal_lengths(conflict=conflict, probabilities=probabilities)
    labels, values = np.array(conflict, dtype=np.float64), np.array(probabilities, dtype=np.float64)
    groups, first, weights, gaps = _bins(labels, values, np.ones((1, len(labels))), bins)
    found = []
    for number in np.unique(first[0]):
        here = first[0] == number
        pairs = weights[0, here].sum()
        probability = (groups[here] * weights[0, here]).sum() / pairs
        conflicts = probability - gaps[0, here].sum() / pairs
        found.append(Bin(float(probability), float(conflicts), int(pairs)))
    return found


def _bins(
    conflict: Array, values: Array, times: Array, bins: int = BINS
) -> tuple[Array, NDArray[np.int64], Array, Array]:
    """Distinct values, their bin [draw, value], their multiplicity, and the sum of value - conflict over it."""
    positives, negatives = by_value(conflict, values, times)
    weights = positives + negatives
    middle = (weights.cumsum(1) - weights / 2) / weights.sum(1, keepdims=True)
    groups = np.unique(values)
    # A group that was not drawn can have its middle rank at the very end.
    return groups, np.minimum((middle * bins).astype(np.int64), bins - 1), weights, weights * groups - positives
