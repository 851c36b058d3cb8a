"""The response side of the contract as frozen values, field for field as in protos/xmguard/v1/guard.proto.

Plain data: no arithmetic lives here. A value of None means "not known" and is absent on the wire; it is never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from xmguard.request import Scope


class Decision(IntEnum):
    """What was established about the spans."""

    UNSPECIFIED = 0
    CONSISTENT = 1
    CONFLICT = 2
    UNDETERMINED = 3
    """Nothing was established: the evidence is too weak, or there was none. Never a synonym of CONSISTENT."""


class Status(IntEnum):
    """Whether the check ran."""

    UNSPECIFIED = 0
    OK = 1
    SKIPPED = 2
    ERROR = 3


class FinishReason(IntEnum):
    """Why the answer ended."""

    UNSPECIFIED = 0
    STOP = 1
    LENGTH = 2
    ABSTAINED = 3
    CLOSED = 4


@dataclass(frozen=True)
class Quote:
    """A piece of a span's text, with its character offsets there."""

    text: str = ""
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Disagreement:
    """Two spans that answer the question differently."""

    span_a: str = ""
    span_b: str = ""
    answer_a: str = ""
    answer_b: str = ""
    score: float = 0.0
    """Probability of a conflict between these two."""
    evidence_a: Quote | None = None
    """The sentence of span a whose removal makes `answer_a` least likely; None where a warning says why."""
    evidence_b: Quote | None = None


@dataclass(frozen=True)
class AnswerGroup:
    """Spans that say the same."""

    answer: str = ""
    span_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConflictVerdict:
    """Do the spans contradict each other about the question?"""

    decision: Decision = Decision.UNSPECIFIED
    probability: float | None = None
    """Of a conflict; None unless `status` is OK."""
    status: Status = Status.UNSPECIFIED
    reason: str = ""
    """One sentence for a person."""
    disagreements: tuple[Disagreement, ...] = ()
    model_reported: bool | None = None
    """The joint answer itself says that the sources disagree; known only once it is finished."""
    calibrated: bool = False
    groups: tuple[AnswerGroup, ...] = ()


@dataclass(frozen=True)
class LayerContribution:
    """Mean contribution norms of one layer, per head, over the prompt's reader rows."""

    layer: int = 0
    heads_before: tuple[float, ...] = ()
    heads_after: tuple[float, ...] = ()


@dataclass(frozen=True)
class SpanReport:
    """What one span weighed. `before` is the forward pass without bias, `after` the one with it, over the same rows."""

    span_id: str = ""
    modality: str = ""
    language: str = ""
    tokens: int = 0
    contribution_before: float | None = None
    """Mean of ||u_k|| over layers, heads and the prompt's reader rows (metrics.md; paper, Eq. 1)."""
    contribution_after: float | None = None
    share_before: float | None = None
    """Of the contributions of all spans and the rest; sums to 1 with `Imbalance.rest_share_before`."""
    share_after: float | None = None
    attention_before: float | None = None
    """Mean attention mass, same rows."""
    attention_after: float | None = None
    bias: float | None = None
    """Epsilon applied, in nats; the mean where it varies by layer, head or row."""
    answer_alone: str = ""
    entropy_alone: float | None = None
    """Nats, at the first content token of that answer."""
    layers: tuple[LayerContribution, ...] = ()
    contribution_generated: float | None = None
    """The same norm over the generated tokens, under the applied bias."""
    toward_answer: float | None = None


@dataclass(frozen=True)
class Imbalance:
    """How unevenly the spans were used."""

    log_ratio_before: float | None = None
    """log(largest / smallest span contribution), nats, >= 0; None with fewer than two spans or a zero contribution."""
    log_ratio_after: float | None = None
    under_attended: str = ""
    over_attended: str = ""
    rest_share_before: float | None = None
    rest_share_after: float | None = None
    log_ratio_per_token_before: float | None = None
    log_ratio_per_token_after: float | None = None


@dataclass(frozen=True)
class Rebalancing:
    """Whether attention was steered, by which policy, and if not, why not."""

    applied: bool = False
    policy: str = ""
    reason: str = ""
    scope: Scope = Scope.UNSPECIFIED


@dataclass(frozen=True)
class Usage:
    """What the request cost."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    queue_seconds: float = 0.0
    cached_tokens: int = 0
    """Context tokens that branches read from the shared cache instead of running them again."""
    evidence_tokens: int = 0
    """Tokens run for branches and cross-likelihoods."""

    @property
    def tokens(self) -> int:
        """All that were run; never more than `xmguard.prepared.Prepared.cost`."""
        return self.prompt_tokens + self.completion_tokens + self.evidence_tokens


@dataclass(frozen=True)
class Stamp:
    """For audit: what produced these numbers."""

    model: str = ""
    model_hash: str = ""
    engine: str = ""
    dtype: str = ""
    profile: str = ""
    xmguard_version: str = ""


@dataclass(frozen=True)
class AnswerResponse:
    """Everything known at the end of one Answer."""

    request_id: str = ""
    answer: str = ""
    """What to show; the deltas of the stream, concatenated."""
    raw_answer: str = ""
    """The model's own words under the applied bias. Empty when the answer was withheld (ABSTAINED, CLOSED)."""
    verdict: ConflictVerdict = field(default_factory=ConflictVerdict)
    spans: tuple[SpanReport, ...] = ()
    imbalance: Imbalance = field(default_factory=Imbalance)
    rebalancing: Rebalancing = field(default_factory=Rebalancing)
    usage: Usage = field(default_factory=Usage)
    warnings: tuple[str, ...] = ()
    unbiased_answer: str = ""
    finish_reason: FinishReason = FinishReason.UNSPECIFIED
    served_by: Stamp = field(default_factory=Stamp)


@dataclass(frozen=True)
class CheckResponse:
    """The verdict and the contributions without the long answer."""

    request_id: str = ""
    verdict: ConflictVerdict = field(default_factory=ConflictVerdict)
    spans: tuple[SpanReport, ...] = ()
    imbalance: Imbalance = field(default_factory=Imbalance)
    usage: Usage = field(default_factory=Usage)
    rebalancing: Rebalancing = field(default_factory=Rebalancing)
    warnings: tuple[str, ...] = ()
    served_by: Stamp = field(default_factory=Stamp)


@dataclass(frozen=True)
class Started:
    """First event of a stream: the reports of the prompt's reader rows."""

    request_id: str = ""
    spans: tuple[SpanReport, ...] = ()


@dataclass(frozen=True)
class Delta:
    """A piece of the answer."""

    text: str = ""


@dataclass(frozen=True)
class Done:
    """Last event of a stream, exactly one."""

    response: AnswerResponse = field(default_factory=AnswerResponse)


Event = Started | ConflictVerdict | Delta | Done
"""What a streamed answer is made of: Started, then the verdict, then deltas, then Done."""


@dataclass(frozen=True)
class PluginInfo:
    """One loaded plugin: its name, version and what it provides ("policy:fixed")."""

    name: str = ""
    version: str = ""
    provides: tuple[str, ...] = ()


@dataclass(frozen=True)
class PolicyInfo:
    """One rebalancing policy and the meaning of its parameters."""

    name: str = ""
    summary: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What a request may hold at most."""

    max_spans: int = 64
    max_media: int = 16
    max_media_bytes: int = 8 * 2**20
    max_message_bytes: int = 32 * 2**20
    max_prompt_tokens: int = 0
    """The model's context length in tokens; 0 where only whoever runs the model knows it."""
    max_tokens: int = 1024
    """New tokens of one answer."""


@dataclass(frozen=True)
class ModelInfo:
    """What is served."""

    model: str = ""
    engine: str = ""
    architecture: str = ""
    version: str = ""
    plugins: tuple[PluginInfo, ...] = ()
    modalities: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    policies: tuple[PolicyInfo, ...] = ()
    limits: Limits = field(default_factory=Limits)
    profile: str = ""
    calibration: str = ""
    stamp: Stamp = field(default_factory=Stamp)
