"""The estimator of an engine that scores no answers: what they claim, and what the model says of a pair outright.

A logistic function with weights set by hand: ordered, not calibrated. Decides nothing; that agreement takes equal
claims, where nothing was scored, is `grounds`' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from xmguard.calibration import sigmoid
from xmguard.evidence import Estimate, Evidence, PairEstimate, SpanEvidence
from xmguard.verdict.equality import Agreement, compare
from xmguard.verdict.features.pair_probe import ProbeConflict, ProbeUnanswered
from xmguard.verdict.grouping import answered, with_group_members
from xmguard.verdict.wording import join_ids, shorten


@dataclass(frozen=True)
class Weights:
    """What each piece of evidence adds to the log-odds of a conflict. Hand-set."""

    intercept: float = -1.0
    same: float = -2.4
    """Equal claims that the model calls a conflict come to 0.40: too close to call, never agreement."""
    different: float = 2.5
    """Claims that differ by value are enough where the model says nothing: 0.82."""
    conflict: float = 3.0
    """At most, in nats of the model's own log-odds: its word makes a conflict of answers that cannot be read: 0.88."""
    agreement: float = 1.5
    """At most, the other way: against claims that differ, the model's word leaves it open: 0.50."""


WEIGHTS = Weights()


class OutrightEstimator:
    """Agreement of the normalised answers and the model's own word on each pair."""

    name = "outright"
    summary = "Hand-set logistic function of answer equality and of what the model says outright; not calibrated."
    features: Sequence[str] = (ProbeConflict.name, ProbeUnanswered.name)

    def estimate(self, evidence: Evidence) -> Estimate:
        """Probability of a conflict for every pair of answering spans of which anything is known.

        A pair of which nothing is takes the highest probability between the groups of equal answers of its spans.
        """
        speaking = [span for span in evidence.spans if answered(span)]
        if not speaking:
            return Estimate((), undetermined="no source answers the question")
        if len(speaking) == 1:
            return Estimate((), undetermined=f"only {shorten(speaking[0].span_id)} answers the question")
        direct = {
            (a.span_id, b.span_id): found
            for a, b in combinations(speaking, 2)
            if (found := _pair(evidence, a, b)) is not None
        }
        pairs = with_group_members(speaking, direct)
        if not pairs:
            ids = join_ids([span.span_id for span in speaking])
            return Estimate((), undetermined=f"the answers of {ids} could not be compared")
        return Estimate(pairs)


def conflict_probability(agreement: Agreement, word: float | None) -> float | None:
    """sigmoid(intercept + agreement + min(max(word, -WEIGHTS.agreement), WEIGHTS.conflict)).

    `word`: nats of log-odds that the model gives a conflict over agreement. None when the agreement is UNKNOWN and
    there is no word either.
    """
    if agreement is Agreement.UNKNOWN and word is None:
        return None
    log_odds = WEIGHTS.intercept
    if agreement is Agreement.SAME:
        log_odds += WEIGHTS.same
    elif agreement is Agreement.DIFFERENT:
        log_odds += WEIGHTS.different
    if word is not None:
        log_odds += min(max(word, -WEIGHTS.agreement), WEIGHTS.conflict)
    return sigmoid(log_odds)


def _pair(evidence: Evidence, a: SpanEvidence, b: SpanEvidence) -> PairEstimate | None:
    pair = (a.span_id, b.span_id)
    word, unanswered = (evidence.features.get(name, {}).get(pair) for name in OutrightEstimator.features)
    probability = conflict_probability(compare(a.normalized, b.normalized), word)
    if probability is None:
        return None
    return PairEstimate(*pair, probability, 1.0 if unanswered is None else sigmoid(-unanswered))
