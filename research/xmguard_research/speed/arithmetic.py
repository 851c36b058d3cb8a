"""From samples to ratios: medians, paired ratios and growth, each with a bootstrap interval over rounds.

Sample i of every variant of a cell was taken in the same round. Knows nothing of what was timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True)
class Interval:
    """A number with the 2.5 and 97.5 percentiles of its bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """Median and interquartile range, in the samples' unit."""

    median: float
    first_quartile: float
    third_quartile: float


def spread(samples: Sequence[float]) -> Spread:
    """Median and quartiles."""
    low, middle, high = np.percentile(samples, [25, 50, 75])
    return Spread(float(middle), float(low), float(high))


def paired_ratio(samples: Sequence[float], base: Sequence[float]) -> Interval:
    """Median over rounds of the ratio within each round; the bootstrap draws rounds.

    Raises:
        ValueError: the two do not have the same rounds.
    """
    if len(samples) != len(base) or not samples:
        raise ValueError(f"ratios are taken round by round: {len(samples)} samples against {len(base)}")
    ratios = np.array(samples) / np.array(base)
    return _interval(float(np.median(ratios)), np.median(ratios[_draws(len(ratios))], axis=1))


def slope(x: Sequence[float], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slope of `y` [..., point] over `x` [point].

    Raises:
        ValueError: fewer than two different points.
    """
    centred = np.array(x, dtype=np.float64) - np.mean(x)
    square = float(centred @ centred)
    if square == 0.0:
        raise ValueError("a slope needs two different points")
    fitted: NDArray[np.float64] = y @ centred / square
    return fitted


def slope_ratio(
    x: Sequence[float], samples: Sequence[Sequence[float]], base: Sequence[Sequence[float]]
) -> Interval | None:
    """Slope of the medians over slope of the base's medians; both are [point][round], rounds drawn per point.

    None where the base does not surely grow, so that a ratio would be one of noise.
    """
    grown, base_grown = slope(x, _medians(samples)), slope(x, _medians(base))
    middle = float(slope(x, _middle(base)))
    if min(middle, float(np.percentile(base_grown, 2.5))) <= 0.0:
        return None
    sure = base_grown > 0.0
    return _interval(float(slope(x, _middle(samples))) / middle, grown[sure] / base_grown[sure])


def exponent(x: Sequence[float], samples: Sequence[Sequence[float]]) -> Interval:
    """The p of median ~ x^p, fitted by least squares in logarithms; 1 is linear. `samples` is [point][round]."""
    points = [float(np.log(value)) for value in x]
    return _interval(float(slope(points, np.log(_middle(samples)))), slope(points, np.log(_medians(samples))))


def _draws(rounds: int, seed: int = SEED) -> NDArray[np.int64]:
    """Rounds drawn with replacement, [resample, round]."""
    return np.random.default_rng(seed).integers(rounds, size=(RESAMPLES, rounds))


def _middle(samples: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.array([np.median(point) for point in samples])


def _medians(samples: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Medians of drawn rounds, [resample, point]. Seeded by point, so that variants stay paired by round."""
    return np.stack(
        [np.median(np.array(point)[_draws(len(point), SEED + index)], axis=1) for index, point in enumerate(samples)],
        axis=1,
    )


def _interval(value: float, draws: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high))
