"""Is one system better than another on the same questions, or does it only look so? Two-sided tests, on scipy's.

Rows of one item are no independent evidence: McNemar's test is for one row an item, sign flips for items of several.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmguard_research.metrics.columns import require_equal_lengths
from xmguard_research.metrics.draws import Array

RESAMPLES = 9999


@dataclass(frozen=True)
class McNemar:
    """The questions on which the two differ."""

    only_first: int
    """Right for the first system alone."""
    only_second: int
    p_value: float | None
    """None without rows; 1 where the two never differ."""


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Exact test that each system alone is right equally often (McNemar 1947, in its exact form).

    P of a split at least as uneven of n = only_first + only_second under Binomial(n, 1/2). Rows must be independent.

    Raises:
        ValueError: the columns have different lengths.

    >>> mcnemar([True] * 8 + [False, True], [False] * 7 + [True, True, True])
    McNemar(only_first=7, only_second=1, p_value=0.0703125)
    """
    from scipy.stats import binomtest

    require_equal_lengths(first=first, second=second)
    only_first = sum(one and not other for one, other in zip(first, second, strict=True))
    only_second = sum(other and not one for one, other in zip(first, second, strict=True))
    differ = only_first + only_second
    if not first:
        return McNemar(0, 0, None)
    return McNemar(only_first, only_second, float(binomtest(only_first, differ).pvalue) if differ else 1.0)


def sign_flip_p_value(
    items: Sequence[str], differences: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> float | None:
    """Permutation test that the mean difference is 0: under that, each item's sum may as well have the other sign.

    All 2^items sign patterns where these are `resamples` at most, otherwise a random draw of them, with the one that
    happened counted among them (Phipson and Smyth 2010): never 0. Whole items are flipped, so that their rows may
    depend on each other in any way; the statistic is the sum of the differences. On `scipy.stats.permutation_test`.

    Args:
        items: the item of every row.
        differences: score of one system minus that of the other, by row.
        resamples: how many sign patterns at most.
        seed: of the draw.

    Returns:
        None if there are fewer than two items.

    Raises:
        ValueError: the columns have different lengths, or a difference is not finite.

    >>> sign_flip_p_value(["a", "b", "b", "c", "d"], [1.0, 1.0, 1.0, 3.0, -1.0])
    0.375
    """
    from scipy.stats import permutation_test

    require_equal_lengths(items=items, differences=differences)
    if not np.isfinite(np.array(differences, dtype=np.float64)).all():
        raise ValueError("a difference is not finite; leave out the rows that have none, for both systems")
    sums: dict[str, float] = defaultdict(float)
    for item, difference in zip(items, differences, strict=True):
        sums[item] += difference
    if len(sums) < 2:
        return None

    def total(flipped: Array, axis: int) -> Array:
        return np.asarray(flipped.sum(axis=axis))

    tested = permutation_test(
        (np.array(list(sums.values())),),
        total,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(tested.pvalue)
