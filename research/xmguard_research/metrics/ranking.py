"""How well a score ranks conflicts above the other pairs: AUROC, within items too, and recall at few false alarms.

scikit-learn has the first for one data set; these take all draws of a bootstrap at once, and agree with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from xmguard_research.metrics.columns import require_equal_lengths
from xmguard_research.metrics.draws import Array, by_value

FALSE_ALARMS = 0.1
"""Share of the other pairs that may be called a conflict."""


def auroc(conflict: Array, values: Array, times: Array) -> Array:
    """Probability that a conflict scores above another pair, ties counted half (Hanley and McNeil 1982).

    Undefined where one class is missing.

    >>> import numpy as np
    >>> auroc(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.9, 0.4, 0.4, 0.1]), np.ones((1, 4))).tolist()
    [0.875]
    """
    positives, negatives = by_value(conflict, values, times)
    below = negatives.cumsum(1) - negatives / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((positives * below).sum(1) / (positives.sum(1) * negatives.sum(1)))


def won_within_items(
    items: Sequence[str], conflict: Sequence[bool], values: Sequence[float]
) -> tuple[list[float], list[float]]:
    """What each conflict wins against the other pairs of its own item, and how many those are; 0 and 0 for the others.

    Their sums, divided, are the AUROC that compares a conflict only with the other pairs of its item, each comparison
    counted once: what differs between items (their topic, their length) plays no part in it. Ours.

    Raises:
        ValueError: the columns have different lengths.

    >>> won_within_items(["a", "a", "b", "b"], [True, False, True, False], [0.2, 0.1, 0.8, 0.8])
    ([1.0, 0.0, 0.5, 0.0], [1.0, 0.0, 1.0, 0.0])
    """
    require_equal_lengths(items=items, conflict=conflict, values=values)
    others: dict[str, list[float]] = defaultdict(list)
    for item, is_conflict, value in zip(items, conflict, values, strict=True):
        if not is_conflict:
            others[item].append(value)
    won, compared = [], []
    for item, is_conflict, value in zip(items, conflict, values, strict=True):
        against = others.get(item, []) if is_conflict else []
        won.append(sum((value > other) + (value == other) / 2 for other in against) + 0.0)
        compared.append(float(len(against)))
    return won, compared


def recall_at_false_alarms(conflict: Array, values: Array, times: Array, rate: float = FALSE_ALARMS) -> Array:
    """Highest share of conflicts found at a threshold that at most `rate` of the other pairs reach; not interpolated.

    The sensitivity at a fixed specificity of 1 - `rate`. Undefined where one class is missing.

    >>> import numpy as np
    >>> values = np.array([0.95, 0.85, 0.84, 0.75, *np.arange(10) / 10])
    >>> recall_at_false_alarms(np.array([1.0] * 4 + [0.0] * 10), values, np.ones((1, 14))).tolist()
    [0.75]
    """
    positives, negatives = (counts[:, ::-1].cumsum(1) for counts in by_value(conflict, values, times))
    # Counts are whole numbers; half of one keeps a share of them from being missed by a rounding error.
    allowed = negatives < np.floor(rate * negatives[:, -1:] + 1e-9) + 0.5
    defined = (positives[:, -1] > 0) & (negatives[:, -1] > 0)
    with np.errstate(invalid="ignore"):
        return np.where(defined, (positives * allowed).max(1) / positives[:, -1], np.nan)
