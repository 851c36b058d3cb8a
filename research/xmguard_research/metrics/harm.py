"""Harm: how much accuracy is lost under an intervention, against no intervention on the same questions."""

from __future__ import annotations

from collections.abc import Sequence

from xmguard_research.metrics.bootstrap import RESAMPLES, Bootstrap, Estimate
from xmguard_research.metrics.columns import require_equal_lengths


def accuracy_change(
    right: Sequence[bool],
    baseline: Sequence[bool],
    items: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Accuracy minus the baseline's, in points, with its interval over whole items; negative is a loss. Ours.

    100 * (sum of right - baseline) / rows. The columns are of the same questions in the same order.

    Raises:
        ValueError: there are no rows, or the columns have different lengths.

    >>> accuracy_change([True, False, True, True], [True, True, True, True], ["a", "a", "b", "b"]).value
    -25.0
    """
    require_equal_lengths(right=right, baseline=baseline, items=items)
    gained = [float(is_right) - float(was_right) for is_right, was_right in zip(right, baseline, strict=True)]
    bootstrap = Bootstrap(items, resamples=resamples, seed=seed)
    return bootstrap.of_sums(lambda points, rows: 100.0 * points / rows, gained, [1.0] * len(gained))
