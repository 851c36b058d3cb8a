"""Where the decisions of a fitted verdict change, chosen on probabilities out of fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xmguard.evidence import Bounds

FALSE_ALARMS = 0.10
"""Share of consistent pairs that may be called a conflict."""
WRONG = 0.20
"""Share of the pairs said to agree that may be conflicts. Agreement must be established: what is between it and a
conflict is too close to call, however many pairs that are."""
LEFT_OUT = 0.02
"""Share of comparable pairs that may be taken for pairs of which one does not answer."""

Array = NDArray[np.float64]


def choose(
    conflict: Sequence[tuple[float, bool]], comparable: Sequence[tuple[float, bool]], usual: Bounds | None = None
) -> Bounds:
    """Bounds from (probability of a conflict, is one) and (probability that both answer, do they).

    CONFLICT begins where false alarms are FALSE_ALARMS at most, and higher as far as no conflict is lost by it.
    Agreement ends where WRONG of the pairs below are conflicts at most. A pair counts as comparable down to where
    LEFT_OUT of those that are would be left out at most, and lower as far as no other comes in by it. What cannot be
    chosen, for want of pairs, is as `usual`.
    """
    usual = usual or Bounds()
    alarms, conflicts = (_of(conflict, truth) for truth in (False, True))
    neither, both = (_of(comparable, truth) for truth in (False, True))
    above, below, bound = usual.conflict_above, usual.agreement_below, usual.comparable_above
    if len(alarms):
        limit = float(np.quantile(alarms, 1 - FALSE_ALARMS, method="higher"))
        found = conflicts[conflicts > limit]
        above = _between(alarms, float(found.min())) if len(found) else limit
        below = _agreement(alarms, conflicts, above)
    if len(both) and len(neither):
        bound = float(np.quantile(both, LEFT_OUT, method="lower"))
        out = neither[neither < bound]
        bound = _between(out, float(both[both > out.max()].min())) if len(out) else 0.0
    return Bounds(conflict_above=above, agreement_below=min(below, above), comparable_above=bound)


def _of(pairs: Sequence[tuple[float, bool]], truth: bool) -> Array:
    return np.array([probability for probability, is_true in pairs if is_true is truth])


def _between(lower: Array, upper: float) -> float:
    """Halfway between a value and the next one below it."""
    return (float(lower[lower < upper].max()) + upper) / 2


def _agreement(alarms: Array, conflicts: Array, above: float) -> float:
    """The largest probability up to `above` below which at most WRONG of the pairs are conflicts; 0 if none."""
    for value in np.unique(np.append(np.concatenate([alarms, conflicts]), above))[::-1].tolist():
        wrong, right = int((conflicts < value).sum()), int((alarms < value).sum())
        if value <= above and wrong + right and wrong <= WRONG * (wrong + right):
            return float(value)
    return 0.0
