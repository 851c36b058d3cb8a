"""The estimator used until a profile is fitted: a logistic function with weights set by hand.

Monotone and readable, and honest about what it is: its probabilities are ordered but not calibrated. It does not use
the answers' entropies yet. Decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from xmguard.evidence import Estimate, Evidence, PairEstimate, SpanEvidence
from xmguard.verdict.equality import Agreement, compare
from xmguard.verdict.grouping import answered, with_group_members
from xmguard.verdict.likelihood import PairLikelihood, pair_likelihood
from xmguard.verdict.wording import join_ids, shorten


@dataclass(frozen=True)
class Weights:
    """What each feature adds to the log-odds of a conflict. Hand-set: a fit should be checked against the reasons."""

    intercept: float = -1.0
    """With nothing known but that the likelihoods do not move: 0.27, on the side of agreement."""
    same: float = -4.0
    """Equal claims stay under 0.3 whatever the likelihoods say: wording alone moves them. The decision sees to it that
    claims which look equal but do not fit the other span do not pass for agreement."""
    different: float = 2.5
    """Claims that differ by value are enough by themselves: 0.82."""
    drop: float = 0.6
    """Per nat and token. Where half of the gain is lost too, unreadable texts cross 0.5 at a drop of 0.8 nats."""
    max_drop: float = 5.0
    """Nats per token counted at most, since a rare name costs many nats for no reason of content."""
    lost: float = 1.0
    """For the whole of the gain over the prior lost under the other span; in proportion for a part of it."""


WEIGHTS = Weights()


class ProvisionalEstimator:
    """Agreement of the normalised answers and cross-likelihood by a fixed logistic function; entropies are not used."""

    name = "provisional"
    summary = "Hand-set logistic function of answer equality and cross-likelihood; not calibrated."
    features: Sequence[str] = ()

    def estimate(self, evidence: Evidence) -> Estimate:
        """Probability of a conflict for every pair of answering spans that can be compared.

        A pair whose answers are neither readable nor scored under each other takes the highest probability found
        between the groups of equal answers its spans belong to, so scoring one span per group is enough.
        """
        speaking = [span for span in evidence.spans if answered(span)]
        if not speaking:
            return Estimate((), undetermined="no source answers the question")
        if len(speaking) == 1:
            return Estimate((), undetermined=f"only {shorten(speaking[0].span_id)} answers the question")
        direct = {
            (a.span_id, b.span_id): PairEstimate(a.span_id, b.span_id, probability)
            for a, b in combinations(speaking, 2)
            if (probability := _pair(a, b)) is not None
        }
        pairs = with_group_members(speaking, direct)
        if not pairs:
            ids = join_ids([span.span_id for span in speaking])
            return Estimate((), undetermined=f"the answers of {ids} could not be compared")
        return Estimate(pairs)


def conflict_probability(agreement: Agreement, likelihood: PairLikelihood | None) -> float | None:
    """sigmoid(intercept + agreement + drop * min(max(d, 0), max_drop) + lost * (1 - clip(r, 0, 1))).

    d and r are the pair's likelihood drop and retained gain. Rises with d, falls with r. None when the agreement is
    UNKNOWN and there is no likelihood either.
    """
    if agreement is Agreement.UNKNOWN and likelihood is None:
        return None
    log_odds = WEIGHTS.intercept
    if agreement is Agreement.SAME:
        log_odds += WEIGHTS.same
    elif agreement is Agreement.DIFFERENT:
        log_odds += WEIGHTS.different
    if likelihood is not None:
        log_odds += WEIGHTS.drop * min(max(likelihood.drop, 0.0), WEIGHTS.max_drop)
        if likelihood.retained is not None:
            log_odds += WEIGHTS.lost * (1.0 - min(max(likelihood.retained, 0.0), 1.0))
    return 1.0 / (1.0 + math.exp(-log_odds))


def _pair(a: SpanEvidence, b: SpanEvidence) -> float | None:
    return conflict_probability(compare(a.normalized, b.normalized), pair_likelihood(a, b))
