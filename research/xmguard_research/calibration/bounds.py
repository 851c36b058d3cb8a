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

    CONFLICT begins where at most FALSE_ALARMS of the others are above. Agreement ends as early as leaves at most
    TOO_CLOSE of the pairs in between, so that nearly every pair that answers is decided. A pair counts as comparable
    down to where at most LEFT_OUT of those that are would be left out. Each share holds for the pairs given, however
    many have one probability. What cannot be chosen, for want of pairs, is as `usual`.
    """
    usual = usual or Bounds()
    alarms = [probability for probability, is_conflict in conflict if not is_conflict]
    above = float(np.quantile(alarms, 1 - FALSE_ALARMS, method="higher")) if alarms else usual.conflict_above
    every = np.sort([probability for probability, _ in conflict])
    below = min(usual.agreement_below, above)
    if len(every):
        rest = every[every <= above]
        undecided = len(rest) - np.searchsorted(rest, rest)  # if agreement ended at this one
        decided = rest[undecided <= TOO_CLOSE * len(every)]
        below = float(decided[0]) if len(decided) else above
    both = [probability for probability, do_both in comparable if do_both]
    neither = [probability for probability, do_both in comparable if not do_both]
    bound = usual.comparable_above
    if both and neither:
        bound = float(np.quantile(both, LEFT_OUT, method="lower"))
    return Bounds(conflict_above=above, agreement_below=below, comparable_above=bound)
