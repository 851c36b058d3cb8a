"""How often something holds, with an interval that neither rows of one item nor agreement can make too narrow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xmguard_research.metrics.bootstrap import RESAMPLES, Bootstrap, Estimate
from xmguard_research.metrics.columns import require_equal_lengths

_Z = 1.959964
"""The 97.5th percentile of the standard normal distribution."""


def share(values: Sequence[bool], items: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Share of the rows that hold, with its 95% interval over items; all None without rows.

    The interval is that of `Bootstrap.of_sums`. Where every item has the same share, its draws are equal and it has no
    width; there it is Wilson's score interval (Wilson 1927) of share p for n trials, where n counts items, not rows:
    (p + z^2/2n ± z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n); scipy has it for whole counts only.

    >>> everything = share([True, True, True], ["a", "a", "b"])
    >>> everything.value, round(everything.low, 3), everything.high
    (1.0, 0.342, 1.0)
    >>> share([True, True, False], ["a", "a", "b"]).value == 2 / 3
    True

    Raises:
        ValueError: the columns are not equally long.
    """
    require_equal_lengths(values=values, items=items)
    if not len(items):
        return Estimate(None, None, None, 0)
    counted = [1.0] * len(items)
    found = Bootstrap(items, resamples=resamples, seed=seed).of_sums(np.divide, values, counted)
    names, item = np.unique(np.array(items), return_inverse=True)
    by_item = np.bincount(item, weights=np.array(values, dtype=np.float64)) / np.bincount(item)
    return found if np.ptp(by_item) else _wilson(float(by_item[0]), len(names))


def _wilson(part: float, trials: int) -> Estimate:
    shrunk = 1 + _Z * _Z / trials
    middle = (part + _Z * _Z / (2 * trials)) / shrunk
    half = _Z / shrunk * math.sqrt(part * (1 - part) / trials + _Z * _Z / (4 * trials * trials))
    return Estimate(part, max(0.0, middle - half), min(1.0, middle + half), 0)
