from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Prompt(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROMPT_UNSPECIFIED: _ClassVar[Prompt]
    PROMPT_STANDARD: _ClassVar[Prompt]
    PROMPT_INSTRUCTED: _ClassVar[Prompt]
    PROMPT_EXPLICIT: _ClassVar[Prompt]

class OnConflict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_CONFLICT_UNSPECIFIED: _ClassVar[OnConflict]
    ON_CONFLICT_REPORT: _ClassVar[OnConflict]
    ON_CONFLICT_ABSTAIN: _ClassVar[OnConflict]
    ON_CONFLICT_PLAIN: _ClassVar[OnConflict]

class OnError(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_ERROR_UNSPECIFIED: _ClassVar[OnError]
    ON_ERROR_CLOSED: _ClassVar[OnError]
    ON_ERROR_OPEN: _ClassVar[OnError]

class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCOPE_UNSPECIFIED: _ClassVar[Scope]
    SCOPE_READERS: _ClassVar[Scope]
    SCOPE_ALL: _ClassVar[Scope]
    SCOPE_GENERATED: _ClassVar[Scope]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_ABSTAINED: _ClassVar[FinishReason]
    FINISH_REASON_CLOSED: _ClassVar[FinishReason]

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_UNSPECIFIED: _ClassVar[Decision]
    DECISION_CONSISTENT: _ClassVar[Decision]
    DECISION_CONFLICT: _ClassVar[Decision]
    DECISION_UNDETERMINED: _ClassVar[Decision]

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_OK: _ClassVar[Status]
    STATUS_SKIPPED: _ClassVar[Status]
    STATUS_ERROR: _ClassVar[Status]
PROMPT_UNSPECIFIED: Prompt
PROMPT_STANDARD: Prompt
PROMPT_INSTRUCTED: Prompt
PROMPT_EXPLICIT: Prompt
ON_CONFLICT_UNSPECIFIED: OnConflict
ON_CONFLICT_REPORT: OnConflict
ON_CONFLICT_ABSTAIN: OnConflict
ON_CONFLICT_PLAIN: OnConflict
ON_ERROR_UNSPECIFIED: OnError
ON_ERROR_CLOSED: OnError
ON_ERROR_OPEN: OnError
SCOPE_UNSPECIFIED: Scope
SCOPE_READERS: Scope
SCOPE_ALL: Scope
SCOPE_GENERATED: Scope
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_ABSTAINED: FinishReason
FINISH_REASON_CLOSED: FinishReason
DECISION_UNSPECIFIED: Decision
DECISION_CONSISTENT: Decision
DECISION_CONFLICT: Decision
DECISION_UNDETERMINED: Decision
STATUS_UNSPECIFIED: Status
STATUS_OK: Status
STATUS_SKIPPED: Status
STATUS_ERROR: Status

class Span(_message.Message):
    __slots__ = ("id", "text", "media", "language", "source")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MEDIA_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    id: str
    text: str
    media: Media
    language: str
    source: str
    def __init__(self, id: _Optional[str] = ..., text: _Optional[str] = ..., media: _Optional[_Union[Media, _Mapping]] = ..., language: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class Media(_message.Message):
    __slots__ = ("media_type", "data")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    data: bytes
    def __init__(self, media_type: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Rebalance(_message.Message):
    __slots__ = ("policy", "parameters", "bias", "scope")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class BiasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    policy: str
    parameters: _containers.ScalarMap[str, float]
    bias: _containers.ScalarMap[str, float]
    scope: Scope
    def __init__(self, policy: _Optional[str] = ..., parameters: _Optional[_Mapping[str, float]] = ..., bias: _Optional[_Mapping[str, float]] = ..., scope: _Optional[_Union[Scope, str]] = ...) -> None: ...

class Decoding(_message.Message):
    __slots__ = ("max_tokens", "temperature", "seed")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    temperature: float
    seed: int
    def __init__(self, max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., seed: _Optional[int] = ...) -> None: ...

class Detail(_message.Message):
    __slots__ = ("layers", "alone_answers", "unbiased_answer", "toward_answer")
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    ALONE_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    UNBIASED_ANSWER_FIELD_NUMBER: _ClassVar[int]
    TOWARD_ANSWER_FIELD_NUMBER: _ClassVar[int]
    layers: bool
    alone_answers: bool
    unbiased_answer: bool
    toward_answer: bool
    def __init__(self, layers: bool = ..., alone_answers: bool = ..., unbiased_answer: bool = ..., toward_answer: bool = ...) -> None: ...

class AnswerRequest(_message.Message):
    __slots__ = ("model", "spans", "question", "prompt", "rebalance", "on_conflict", "decoding", "detail", "on_error", "conflict_threshold")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    REBALANCE_FIELD_NUMBER: _ClassVar[int]
    ON_CONFLICT_FIELD_NUMBER: _ClassVar[int]
    DECODING_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    CONFLICT_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    model: str
    spans: _containers.RepeatedCompositeFieldContainer[Span]
    question: str
    prompt: Prompt
    rebalance: Rebalance
    on_conflict: OnConflict
    decoding: Decoding
    detail: Detail
    on_error: OnError
    conflict_threshold: float
    def __init__(self, model: _Optional[str] = ..., spans: _Optional[_Iterable[_Union[Span, _Mapping]]] = ..., question: _Optional[str] = ..., prompt: _Optional[_Union[Prompt, str]] = ..., rebalance: _Optional[_Union[Rebalance, _Mapping]] = ..., on_conflict: _Optional[_Union[OnConflict, str]] = ..., decoding: _Optional[_Union[Decoding, _Mapping]] = ..., detail: _Optional[_Union[Detail, _Mapping]] = ..., on_error: _Optional[_Union[OnError, str]] = ..., conflict_threshold: _Optional[float] = ...) -> None: ...

class AnswerResponse(_message.Message):
    __slots__ = ("request_id", "answer", "raw_answer", "verdict", "spans", "imbalance", "rebalancing", "usage", "warnings", "unbiased_answer", "finish_reason", "served_by")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    RAW_ANSWER_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    IMBALANCE_FIELD_NUMBER: _ClassVar[int]
    REBALANCING_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    UNBIASED_ANSWER_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    SERVED_BY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    answer: str
    raw_answer: str
    verdict: Verdict
    spans: _containers.RepeatedCompositeFieldContainer[SpanReport]
    imbalance: Imbalance
    rebalancing: Rebalancing
    usage: Usage
    warnings: _containers.RepeatedScalarFieldContainer[str]
    unbiased_answer: str
    finish_reason: FinishReason
    served_by: Stamp
    def __init__(self, request_id: _Optional[str] = ..., answer: _Optional[str] = ..., raw_answer: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., spans: _Optional[_Iterable[_Union[SpanReport, _Mapping]]] = ..., imbalance: _Optional[_Union[Imbalance, _Mapping]] = ..., rebalancing: _Optional[_Union[Rebalancing, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., unbiased_answer: _Optional[str] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., served_by: _Optional[_Union[Stamp, _Mapping]] = ...) -> None: ...

class Stamp(_message.Message):
    __slots__ = ("model", "model_hash", "engine", "dtype", "profile", "xmguard_version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    XMGUARD_VERSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    model_hash: str
    engine: str
    dtype: str
    profile: str
    xmguard_version: str
    def __init__(self, model: _Optional[str] = ..., model_hash: _Optional[str] = ..., engine: _Optional[str] = ..., dtype: _Optional[str] = ..., profile: _Optional[str] = ..., xmguard_version: _Optional[str] = ...) -> None: ...

class SpanReport(_message.Message):
    __slots__ = ("span_id", "modality", "language", "tokens", "contribution_before", "contribution_after", "share_before", "share_after", "attention_before", "attention_after", "bias", "answer_alone", "entropy_alone", "layers", "contribution_generated", "toward_answer")
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_BEFORE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_AFTER_FIELD_NUMBER: _ClassVar[int]
    SHARE_BEFORE_FIELD_NUMBER: _ClassVar[int]
    SHARE_AFTER_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_BEFORE_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_AFTER_FIELD_NUMBER: _ClassVar[int]
    BIAS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ALONE_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_ALONE_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_GENERATED_FIELD_NUMBER: _ClassVar[int]
    TOWARD_ANSWER_FIELD_NUMBER: _ClassVar[int]
    span_id: str
    modality: str
    language: str
    tokens: int
    contribution_before: float
    contribution_after: float
    share_before: float
    share_after: float
    attention_before: float
    attention_after: float
    bias: float
    answer_alone: str
    entropy_alone: float
    layers: _containers.RepeatedCompositeFieldContainer[LayerContribution]
    contribution_generated: float
    toward_answer: float
    def __init__(self, span_id: _Optional[str] = ..., modality: _Optional[str] = ..., language: _Optional[str] = ..., tokens: _Optional[int] = ..., contribution_before: _Optional[float] = ..., contribution_after: _Optional[float] = ..., share_before: _Optional[float] = ..., share_after: _Optional[float] = ..., attention_before: _Optional[float] = ..., attention_after: _Optional[float] = ..., bias: _Optional[float] = ..., answer_alone: _Optional[str] = ..., entropy_alone: _Optional[float] = ..., layers: _Optional[_Iterable[_Union[LayerContribution, _Mapping]]] = ..., contribution_generated: _Optional[float] = ..., toward_answer: _Optional[float] = ...) -> None: ...

class LayerContribution(_message.Message):
    __slots__ = ("layer", "heads_before", "heads_after")
    LAYER_FIELD_NUMBER: _ClassVar[int]
    HEADS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    HEADS_AFTER_FIELD_NUMBER: _ClassVar[int]
    layer: int
    heads_before: _containers.RepeatedScalarFieldContainer[float]
    heads_after: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, layer: _Optional[int] = ..., heads_before: _Optional[_Iterable[float]] = ..., heads_after: _Optional[_Iterable[float]] = ...) -> None: ...

class Imbalance(_message.Message):
    __slots__ = ("log_ratio_before", "log_ratio_after", "under_attended", "over_attended", "rest_share_before", "rest_share_after", "log_ratio_per_token_before", "log_ratio_per_token_after")
    LOG_RATIO_BEFORE_FIELD_NUMBER: _ClassVar[int]
    LOG_RATIO_AFTER_FIELD_NUMBER: _ClassVar[int]
    UNDER_ATTENDED_FIELD_NUMBER: _ClassVar[int]
    OVER_ATTENDED_FIELD_NUMBER: _ClassVar[int]
    REST_SHARE_BEFORE_FIELD_NUMBER: _ClassVar[int]
    REST_SHARE_AFTER_FIELD_NUMBER: _ClassVar[int]
    LOG_RATIO_PER_TOKEN_BEFORE_FIELD_NUMBER: _ClassVar[int]
    LOG_RATIO_PER_TOKEN_AFTER_FIELD_NUMBER: _ClassVar[int]
    log_ratio_before: float
    log_ratio_after: float
    under_attended: str
    over_attended: str
    rest_share_before: float
    rest_share_after: float
    log_ratio_per_token_before: float
    log_ratio_per_token_after: float
    def __init__(self, log_ratio_before: _Optional[float] = ..., log_ratio_after: _Optional[float] = ..., under_attended: _Optional[str] = ..., over_attended: _Optional[str] = ..., rest_share_before: _Optional[float] = ..., rest_share_after: _Optional[float] = ..., log_ratio_per_token_before: _Optional[float] = ..., log_ratio_per_token_after: _Optional[float] = ...) -> None: ...

class Rebalancing(_message.Message):
    __slots__ = ("applied", "policy", "reason", "scope")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    applied: bool
    policy: str
    reason: str
    scope: Scope
    def __init__(self, applied: bool = ..., policy: _Optional[str] = ..., reason: _Optional[str] = ..., scope: _Optional[_Union[Scope, str]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("decision", "probability", "status", "reason", "disagreements", "model_reported", "calibrated", "groups")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DISAGREEMENTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_REPORTED_FIELD_NUMBER: _ClassVar[int]
    CALIBRATED_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    probability: float
    status: Status
    reason: str
    disagreements: _containers.RepeatedCompositeFieldContainer[Disagreement]
    model_reported: bool
    calibrated: bool
    groups: _containers.RepeatedCompositeFieldContainer[AnswerGroup]
    def __init__(self, decision: _Optional[_Union[Decision, str]] = ..., probability: _Optional[float] = ..., status: _Optional[_Union[Status, str]] = ..., reason: _Optional[str] = ..., disagreements: _Optional[_Iterable[_Union[Disagreement, _Mapping]]] = ..., model_reported: bool = ..., calibrated: bool = ..., groups: _Optional[_Iterable[_Union[AnswerGroup, _Mapping]]] = ...) -> None: ...

class AnswerGroup(_message.Message):
    __slots__ = ("answer", "span_ids")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    SPAN_IDS_FIELD_NUMBER: _ClassVar[int]
    answer: str
    span_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, answer: _Optional[str] = ..., span_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Disagreement(_message.Message):
    __slots__ = ("span_a", "span_b", "answer_a", "answer_b", "score", "evidence_a", "evidence_b")
    SPAN_A_FIELD_NUMBER: _ClassVar[int]
    SPAN_B_FIELD_NUMBER: _ClassVar[int]
    ANSWER_A_FIELD_NUMBER: _ClassVar[int]
    ANSWER_B_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_A_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_B_FIELD_NUMBER: _ClassVar[int]
    span_a: str
    span_b: str
    answer_a: str
    answer_b: str
    score: float
    evidence_a: Quote
    evidence_b: Quote
    def __init__(self, span_a: _Optional[str] = ..., span_b: _Optional[str] = ..., answer_a: _Optional[str] = ..., answer_b: _Optional[str] = ..., score: _Optional[float] = ..., evidence_a: _Optional[_Union[Quote, _Mapping]] = ..., evidence_b: _Optional[_Union[Quote, _Mapping]] = ...) -> None: ...

class Quote(_message.Message):
    __slots__ = ("text", "start", "end")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    text: str
    start: int
    end: int
    def __init__(self, text: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens", "seconds", "queue_seconds", "cached_tokens", "evidence_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    queue_seconds: float
    cached_tokens: int
    evidence_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., seconds: _Optional[float] = ..., queue_seconds: _Optional[float] = ..., cached_tokens: _Optional[int] = ..., evidence_tokens: _Optional[int] = ...) -> None: ...

class StreamAnswerRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: AnswerRequest
    def __init__(self, request: _Optional[_Union[AnswerRequest, _Mapping]] = ...) -> None: ...

class StreamAnswerResponse(_message.Message):
    __slots__ = ("sequence", "started", "verdict", "delta", "done")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    started: Started
    verdict: Verdict
    delta: Delta
    done: Done
    def __init__(self, sequence: _Optional[int] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., delta: _Optional[_Union[Delta, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("request_id", "spans")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    spans: _containers.RepeatedCompositeFieldContainer[SpanReport]
    def __init__(self, request_id: _Optional[str] = ..., spans: _Optional[_Iterable[_Union[SpanReport, _Mapping]]] = ...) -> None: ...

class Delta(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("response",)
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    response: AnswerResponse
    def __init__(self, response: _Optional[_Union[AnswerResponse, _Mapping]] = ...) -> None: ...

class CheckRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: AnswerRequest
    def __init__(self, request: _Optional[_Union[AnswerRequest, _Mapping]] = ...) -> None: ...

class CheckResponse(_message.Message):
    __slots__ = ("request_id", "verdict", "spans", "imbalance", "usage", "rebalancing", "warnings", "served_by")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    IMBALANCE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    REBALANCING_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    SERVED_BY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    verdict: Verdict
    spans: _containers.RepeatedCompositeFieldContainer[SpanReport]
    imbalance: Imbalance
    usage: Usage
    rebalancing: Rebalancing
    warnings: _containers.RepeatedScalarFieldContainer[str]
    served_by: Stamp
    def __init__(self, request_id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., spans: _Optional[_Iterable[_Union[SpanReport, _Mapping]]] = ..., imbalance: _Optional[_Union[Imbalance, _Mapping]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., rebalancing: _Optional[_Union[Rebalancing, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., served_by: _Optional[_Union[Stamp, _Mapping]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model", "engine", "architecture", "version", "plugins", "modalities", "languages", "policies", "limits", "profile", "calibration", "stamp")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PLUGINS_FIELD_NUMBER: _ClassVar[int]
    MODALITIES_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    STAMP_FIELD_NUMBER: _ClassVar[int]
    model: str
    engine: str
    architecture: str
    version: str
    plugins: _containers.RepeatedCompositeFieldContainer[Plugin]
    modalities: _containers.RepeatedScalarFieldContainer[str]
    languages: _containers.RepeatedScalarFieldContainer[str]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    limits: Limits
    profile: str
    calibration: str
    stamp: Stamp
    def __init__(self, model: _Optional[str] = ..., engine: _Optional[str] = ..., architecture: _Optional[str] = ..., version: _Optional[str] = ..., plugins: _Optional[_Iterable[_Union[Plugin, _Mapping]]] = ..., modalities: _Optional[_Iterable[str]] = ..., languages: _Optional[_Iterable[str]] = ..., policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., profile: _Optional[str] = ..., calibration: _Optional[str] = ..., stamp: _Optional[_Union[Stamp, _Mapping]] = ...) -> None: ...

class Plugin(_message.Message):
    __slots__ = ("name", "version", "provides")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROVIDES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    provides: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., provides: _Optional[_Iterable[str]] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("name", "summary", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    parameters: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_spans", "max_media", "max_media_bytes", "max_message_bytes", "max_prompt_tokens", "max_tokens")
    MAX_SPANS_FIELD_NUMBER: _ClassVar[int]
    MAX_MEDIA_FIELD_NUMBER: _ClassVar[int]
    MAX_MEDIA_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_spans: int
    max_media: int
    max_media_bytes: int
    max_message_bytes: int
    max_prompt_tokens: int
    max_tokens: int
    def __init__(self, max_spans: _Optional[int] = ..., max_media: _Optional[int] = ..., max_media_bytes: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_prompt_tokens: _Optional[int] = ..., max_tokens: _Optional[int] = ...) -> None: ...
