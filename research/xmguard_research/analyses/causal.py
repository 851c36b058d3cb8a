"""Does an answer follow the steered source more as the steering grows? The causal check, and its arithmetic.

Every conflict is asked at every amount, in ascending order; following is 1 if the answer gives what the steered source
is known to answer and not what the other does, and 0 otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from xmguard_research.metrics import RESAMPLES, Bootstrap, Estimate, share
from xmguard_research.metrics.draws import Array


@dataclass(frozen=True)
class Monotonicity:
    """How following changes with the amount, over some conflicts."""

    conflicts: int
    spearman: Estimate
    """Rank correlation of amount and following over all answers; None where every answer follows, or none does."""
    down: Estimate
    """Share of the steps from one amount to the next, per conflict, at which following ends."""
    up: Estimate
    """The same at which it begins."""
    never_down: Estimate
    """Share of the conflicts without a step down, of those that follow at any amount."""
    never_follow: int
    """Conflicts that follow at none."""
    isotonic: tuple[float, ...]
    """Rate of following at every amount, fitted by least squares so that it never falls."""
    departure: float
    """How far the observed rate lies from that fit at most; 0 if it never falls."""


def monotonicity(
    follows: Sequence[Sequence[bool]], items: Sequence[str], *, resamples: int = RESAMPLES
) -> Monotonicity:
    """Test that following rises with the amount.

    Spearman's correlation is Pearson's of ranks. Every conflict has every amount, so that in every draw of conflicts
    the ranks of amounts are the same numbers, and those of a following that is 0 or 1 are a line through it: sums of
    products are enough.

    Args:
        follows: [conflict][amount], amounts ascending.
        items: of every conflict.
        resamples: draws of the intervals.

    Raises:
        ValueError: there is no conflict, or fewer than two amounts, or a conflict has another number of them.

    >>> found = monotonicity([[False, True, True], [False, False, True], [True, False, True]], ["a", "b", "c"])
    >>> found.down.value, found.up.value, found.never_down.value
    (0.16666666666666666, 0.5, 0.6666666666666666)
    >>> found.isotonic, found.departure
    ((0.3333333333333333, 0.3333333333333333, 1.0), 0.0)
    """
    from sklearn.isotonic import IsotonicRegression

    amounts = {len(own) for own in follows}
    if len(amounts) != 1 or min(amounts) < 2:
        raise ValueError(f"conflicts with {sorted(amounts)} amounts; every one needs the same, at least two")
    (count,) = amounts
    ranks = np.arange(count) - (count - 1) / 2
    table = np.array(follows, dtype=np.float64)
    draws = Bootstrap(items, resamples=resamples)
    steps = [[(before, after) for before, after in pairwise(own)] for own in follows]
    of_step = [item for item, own in zip(items, steps, strict=True) for _ in own]
    downs = [before and not after for own in steps for before, after in own]
    ups = [after and not before for own in steps for before, after in own]
    following = [(item, own) for item, own in zip(items, steps, strict=True) if any(map(any, own))]
    never = [not any(before and not after for before, after in own) for _, own in following]

    def spearman(rows: Array, followed: Array, products: Array) -> Array:
        answers = rows * count
        rate = followed / answers
        spread = np.sqrt((ranks * ranks).mean() * rate * (1 - rate))
        return np.asarray(products / answers / spread)

    rates = table.mean(0)
    fitted = IsotonicRegression().fit_transform(np.arange(count), rates)
    return Monotonicity(
        len(table),
        draws.of_sums(spearman, [1.0] * len(table), table.sum(1).tolist(), (table @ ranks).tolist()),
        share(downs, of_step, resamples=resamples),
        share(ups, of_step, resamples=resamples),
        share(never, [item for item, _ in following], resamples=resamples),
        len(follows) - len(following),
        tuple(float(rate) for rate in fitted),
        float(np.abs(rates - fitted).max()),
    )
