"""Where the decisions of a fitted verdict change, chosen on probabilities out of fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xmguard.evidence import Bounds

FALSE_ALARMS = 0.10
"""Share of consistent pairs that may be called a conflict."""
TOO_CLOSE = 0.05
"""Share of comparable pairs that may be left undetermined between agreement and conflict."""
LEFT_OUT = 0.05
"""Share of comparable pairs that may be taken for pairs of which one does not answer."""


def choose(
    conflict: Sequence[tuple[float, bool]], comparable: Sequence[tuple[float, bool]], usual: Bounds | None = None
) -> Bounds:
    """Bounds from (probability of a conflict, is one) and (probability that both answer, do they).

    CONFLICT begins where false alarms fall to FALSE_ALARMS. Agreement ends at most TOO_CLOSE of the pairs below that,
    so that nearly every pair that answers is decided. A pair counts as comparable down to where LEFT_OUT of those that
    are would be left out. What cannot be chosen, for want of pairs, is as `usual`.
    """
    usual = usual or Bounds()
    alarms = [probability for probability, is_conflict in conflict if not is_conflict]
    above = float(np.quantile(alarms, 1 - FALSE_ALARMS)) if alarms else usual.conflict_above
    every = np.sort([probability for probability, _ in conflict])
    if len(every):
        place = np.searchsorted(every, above, side="right") / len(every)
        below = float(np.quantile(every, max(0.0, place - TOO_CLOSE)))
    else:
        below = usual.agreement_below
    both = [probability for probability, do_both in comparable if do_both]
    neither = [probability for probability, do_both in comparable if not do_both]
    bound = float(np.quantile(both, LEFT_OUT)) if both and neither else usual.comparable_above
    return Bounds(conflict_above=above, agreement_below=min(below, above), comparable_above=bound)
