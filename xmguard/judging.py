"""Step 6 of an answer: from the spans read alone to a verdict. Picks the estimator when a model is loaded.

A check that breaks is a verdict of status ERROR, never a decision. Knows no features and no weights.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from xmguard.abilities import Ability
from xmguard.alone import AloneReading
from xmguard.calibration import FittedFor, VerdictProfile
from xmguard.contracts import Backend, EvidenceFeature, VerdictEstimator
from xmguard.errors import Cancelled, DeadlineExceeded, EngineError
from xmguard.evidence import Evidence
from xmguard.featuring import with_features
from xmguard.plugins import Registry
from xmguard.profile import Profile
from xmguard.quoting import quote_disagreements
from xmguard.response import ConflictVerdict
from xmguard.run import Run
from xmguard.steps import Step
from xmguard.verdict.calibrated import CalibratedEstimator
from xmguard.verdict.decision import decide, failed, skipped

log = logging.getLogger(__name__)

UNPROFILED = "provisional"
"""The estimator of a model without a fitted verdict."""
UNSCORED = "outright"
"""That of an engine that scores no answers."""
ON_CLAIMS = "judged by what the answers claim and by the model's own word on each pair, as nothing could be scored"
"""What its verdicts rest on, for people."""


class Judge:
    """Reaches the verdicts of one loaded model."""

    def __init__(self, backend: Backend, registry: Registry, profile: Profile | None) -> None:
        self._backend = backend
        self._registry = registry
        fitted = None if profile is None else profile.verdict
        why_not = _unfit(fitted, backend)
        self.calibration = why_not if fitted is None or why_not else f"calibrated on {fitted.fitted_on}"
        if not why_not and backend.evidence_hash != backend.model_hash:
            self.calibration += "; read from the base model, whose joint answers an adapter gives"
        self._unscored = backend.lacks.get(Ability.SCORE, "")
        if self._unscored:
            self.calibration = f"not calibrated: {ON_CLAIMS}: {self._unscored}"
        """For people: what the probabilities were fitted to, or why they are not calibrated."""
        by_hand = registry.verdict_estimators.items[UNSCORED if self._unscored else UNPROFILED]
        self._estimator: VerdictEstimator = by_hand if fitted is None or why_not else CalibratedEstimator(fitted)

    @property
    def calibrated(self) -> bool:
        """Whether a profile fitted for this model, engine and dtype gives the probabilities."""
        return isinstance(self._estimator, CalibratedEstimator)

    @property
    def features(self) -> tuple[EvidenceFeature, ...]:
        """Those that the estimator asks for, as far as plugins provide them."""
        known = self._registry.evidence_features.items
        return tuple(known[name] for name in self._estimator.features if name in known)

    def verdict(self, run: Run, alone: AloneReading) -> ConflictVerdict:
        """The verdict; raises only what `Stop.check` raises, and EngineError."""
        if len(run.valid.context.spans) < 2:
            return skipped("There is only one span, so there is nothing it could contradict.")
        if run.skip:
            return skipped(run.skip)
        sources = {span.id: span.span.source for span in run.valid.context.spans}
        try:
            with run.steps.timed(Step.JUDGE):
                verdict = self.decided(self.evidence(run, alone), run.request.conflict_threshold, sources)
        except (Cancelled, DeadlineExceeded, EngineError):  # the whole request ends
            raise
        except Exception:
            # An estimator, feature or language plugin may raise anything, and fail closed is what the contract wants.
            log.exception("the verdict of request %s failed", run.request_id)
            return failed("The check itself failed; the server's log says where.")
        if self._unscored and verdict.disagreements:
            run.warnings.append(f"verdict.disagreements: no quotes: {self._unscored}")
            return verdict
        with run.steps.timed(Step.QUOTE):
            return quote_disagreements(verdict, run, alone, self._registry)

    def decided(
        self, evidence: Evidence, threshold: float | None = None, sources: Mapping[str, str] | None = None
    ) -> ConflictVerdict:
        """The verdict on some evidence; `sources` says what spans are called, by id."""
        verdict = decide(evidence, self._estimator.estimate(evidence), threshold, sources)
        if not self._unscored:
            return verdict
        return replace(verdict, reason=f"{verdict.reason.removesuffix('.')}; {ON_CLAIMS}.")

    def evidence(self, run: Run, alone: AloneReading, features: tuple[str, ...] | None = None) -> Evidence:
        """The evidence with the estimator's features, or with the named ones; raises what they raise."""
        return with_features(
            alone.evidence(run.session, self._registry),
            tuple(self._estimator.features) if features is None else features,
            run=run,
            alone=alone,
            backend=self._backend,
            registry=self._registry,
        )


def _unfit(fitted: VerdictProfile | None, backend: Backend) -> str:
    """Why a fitted verdict cannot be used with a loaded model; empty if it can."""
    if fitted is None:
        return "not calibrated: the model has no profile with a fitted verdict"
    loaded = FittedFor(backend.evidence_hash, backend.engine, backend.dtype)
    for what in ("model_hash", "engine", "dtype"):
        wanted, found = getattr(fitted.fitted_for, what), getattr(loaded, what)
        if wanted != found and not (what == "engine" and wanted in backend.agrees_with):
            return f"not calibrated: the profile's verdict was fitted for {what} {wanted[:16]}, loaded is {found[:16]}"
    return ""
