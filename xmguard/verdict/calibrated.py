"""The estimator of a model with a profile: features weighed as they were fitted. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from xmguard.calibration import Fit, VerdictProfile, pairing
from xmguard.context import ENGLISH
from xmguard.evidence import Estimate, Evidence, PairEstimate, SpanEvidence
from xmguard.verdict.grouping import answered, with_group_members
from xmguard.verdict.wording import join_ids, shorten


class CalibratedEstimator:
    """Satisfies `xmguard.contracts.VerdictEstimator`."""

    name = "calibrated"
    summary = "Logistic model over the profile's features, calibrated for this model, engine and dtype."

    def __init__(self, profile: VerdictProfile) -> None:
        self._profile = profile
        self.features: Sequence[str] = profile.features

    def estimate(self, evidence: Evidence) -> Estimate:
        """Probabilities of every pair of answering spans.

        Only one span of a group that says the same is measured against the others; the rest of the group takes the
        numbers of the surest such pair. Pairs of languages that were not fitted are left out, measured or not, so that
        no agreement can be built on them. Calibrated if there are none, every pair's languages and every
        answering span's modality are among those of the pairs it was fitted to, and the question is English and was put
        in it, as it was in all of those: a picture, which has no language, counts as of the other span's.
        """
        bounds = self._profile.bounds
        speaking = [span for span in evidence.spans if answered(span)]
        in_english = evidence.asked_in == evidence.question_language == ENGLISH
        as_fitted = in_english and {span.modality for span in speaking} <= {*self._profile.modalities}
        if not speaking:
            return Estimate((), undetermined="no source answers the question", bounds=bounds, calibrated=as_fitted)
        if len(speaking) == 1:
            only = f"only {shorten(speaking[0].span_id)} answers the question"
            return Estimate((), undetermined=only, bounds=bounds, calibrated=as_fitted)
        direct = {
            (a.span_id, b.span_id): estimated
            for a, b in combinations(speaking, 2)
            if (estimated := self._pair(evidence, a, b)) is not None
        }
        fitted = {
            (a.span_id, b.span_id): pairing(a.language, b.language) in self._profile.conflict
            for a, b in combinations(speaking, 2)
        }
        pairs = tuple(pair for pair in with_group_members(speaking, direct) if fitted[pair.span_a, pair.span_b])
        if not pairs:
            ids = join_ids([span.span_id for span in speaking])
            return Estimate((), undetermined=f"the answers of {ids} could not be compared", bounds=bounds)
        known = [self._profile.covers(a.language, b.language) for a, b in combinations(speaking, 2)]
        kinds = {pairing(a.language, b.language) for a, b in combinations(speaking, 2)}
        return Estimate(
            pairs,
            bounds=bounds,
            answers_checked=kinds <= set(self._profile.comparable),
            calibrated=as_fitted and all(fitted.values()) and all(known),
        )

    def _pair(self, evidence: Evidence, a: SpanEvidence, b: SpanEvidence) -> PairEstimate | None:
        pair = (a.span_id, b.span_id)
        values = {name: found[pair] for name, found in evidence.features.items() if pair in found}
        kind = pairing(a.language, b.language)
        fit = self._profile.conflict.get(kind)
        if fit is None or not values:
            return None
        comparable: Fit | None = self._profile.comparable.get(kind)
        both_answer = 1.0 if comparable is None else comparable.probability(values)
        return PairEstimate(*pair, fit.probability(values), both_answer)
