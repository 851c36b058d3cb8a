"""Every extension point of xmguard, in one file.

Hooks are called once, at start-up, and return objects (see `xmguard.contracts`); `xmguard_detect_language` is the one
exception and runs once per unlabelled span. Built-ins come through the same hooks as plugins.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from xmguard.contracts import (
    EvidenceFeature,
    Language,
    Modality,
    ModelSource,
    Observer,
    RebalancePolicy,
    VerdictEstimator,
)
from xmguard.providers import ArchitectureProvider, BackendProvider, BenchmarkProvider, JudgeProvider

PROJECT = "xmguard"
"""Name of the pluggy project and of the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's implementation of a hook."""


@hookspec
def xmguard_modalities() -> Iterable[Modality]:
    """Modalities this plugin can encode."""


@hookspec
def xmguard_languages() -> Iterable[Language]:
    """Languages this plugin can normalise."""


@hookspec(firstresult=True)
def xmguard_detect_language(text: str) -> str | None:
    """BCP-47 tag of an unlabelled text, or None to let the next plugin try."""


@hookspec
def xmguard_backends() -> Iterable[BackendProvider]:
    """Engines this plugin can load models into."""


@hookspec
def xmguard_architectures() -> Iterable[ArchitectureProvider]:
    """Model architectures this plugin brings to the engine `transformers`."""


@hookspec
def xmguard_models() -> Iterable[ModelSource]:
    """Models this plugin can put on the machine by name."""


@hookspec
def xmguard_policies() -> Iterable[RebalancePolicy]:
    """Rebalancing policies."""


@hookspec
def xmguard_evidence_features() -> Iterable[EvidenceFeature]:
    """Features of a pair of spans, for profiles to weigh."""


@hookspec
def xmguard_verdict_estimators() -> Iterable[VerdictEstimator]:
    """Estimators that turn evidence into a probability of a conflict."""


@hookspec
def xmguard_observers() -> Iterable[Observer]:
    """Observers of finished requests."""


@hookspec
def xmguard_judges() -> Iterable[JudgeProvider]:
    """Judges of answers, for the research package."""


@hookspec
def xmguard_benchmarks() -> Iterable[BenchmarkProvider]:
    """Benchmark suites, for the research package."""
