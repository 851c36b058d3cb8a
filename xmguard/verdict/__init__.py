"""The built-in verdict estimators, offered through the same hook as a plugin's.

The other modules take evidence to a verdict and a verdict to words; none of them runs a model.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import EvidenceFeature, VerdictEstimator
from xmguard.hookspecs import hookimpl
from xmguard.verdict.features import built_in
from xmguard.verdict.outright import OutrightEstimator
from xmguard.verdict.provisional import ProvisionalEstimator


@hookimpl
def xmguard_evidence_features() -> Iterable[EvidenceFeature]:
    """The built-in features."""
    return built_in()


@hookimpl
def xmguard_verdict_estimators() -> Iterable[VerdictEstimator]:
    """The hand-set estimators."""
    return [ProvisionalEstimator(), OutrightEstimator()]
