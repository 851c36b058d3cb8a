"""Decides whether a request is acceptable, and settles what it leaves open. Lists every violation, not the first.

Used by the guard in process and behind the server alike, so both say the same. Token counts are not checked here: only
an engine can count them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from xmguard.context import Context, ContextSpan
from xmguard.errors import FieldViolation, InvalidRequest, ModelNotFound
from xmguard.plugins import Registry
from xmguard.request import AnswerRequest, Decoding, OnConflict, OnError, Prompt, Rebalance, Scope
from xmguard.response import Limits
from xmguard.span import Span

DEFAULT_MAX_TOKENS = 128
UNDETERMINED_LANGUAGE = "und"
"""BCP-47's own tag for a language that is not known."""
TEXT = "text"
"""Modality of spans that carry text."""


@dataclass(frozen=True)
class ValidRequest:
    """A request with every default settled, and its context."""

    request: AnswerRequest
    """With span ids, enums, policy and max_tokens filled in."""
    context: Context


def validate(
    request: AnswerRequest, *, model: str, default_policy: str, limits: Limits, registry: Registry
) -> ValidRequest:
    """Check a request against what is served.

    Raises:
        ModelNotFound: the request names another model.
        InvalidRequest: with every violation found.
    """
    if request.model and request.model != model:
        raise ModelNotFound(f"model: {request.model!r} is not served here; served: {model}")
    found: list[FieldViolation] = []
    if not request.question.strip():
        found.append(FieldViolation("question", "is empty"))
    spans = _spans(request.spans, limits, registry, found)
    rebalance = _rebalance(request.rebalance, default_policy, registry, found)
    decoding = _decoding(request.decoding, limits, found)
    threshold = request.conflict_threshold
    if threshold is not None and not 0.0 <= threshold <= 1.0:  # NaN fails the comparison too
        found.append(FieldViolation("conflict_threshold", f"is {threshold}; a probability from 0 to 1"))
    if found:
        raise InvalidRequest(found)
    settled = replace(
        request,
        model=model,
        spans=tuple(span.span for span in spans),
        prompt=request.prompt or Prompt.STANDARD,
        rebalance=rebalance,
        on_conflict=request.on_conflict or OnConflict.REPORT,
        on_error=request.on_error or OnError.CLOSED,
        decoding=decoding,
    )
    return ValidRequest(settled, Context(tuple(spans), request.question))


def _spans(
    spans: tuple[Span, ...], limits: Limits, registry: Registry, found: list[FieldViolation]
) -> list[ContextSpan]:
    if not spans:
        found.append(FieldViolation("spans", "is empty; at least one span is needed"))
    if len(spans) > limits.max_spans:
        found.append(FieldViolation("spans", f"holds {len(spans)}; at most {limits.max_spans} are taken"))
        return []
    media = [span.media for span in spans if span.media is not None]
    if len(media) > limits.max_media:
        found.append(FieldViolation("spans", f"holds {len(media)} media; at most {limits.max_media} are taken"))
    taken = {span.id for span in spans if span.id}
    seen: set[str] = set()
    result = []
    for index, span in enumerate(spans):
        path = f"spans[{index}]"
        if span.id in seen:
            found.append(FieldViolation(f"{path}.id", f"{span.id!r} is used twice; ids are unique"))
        named = span if span.id else replace(span, id=_free_id(taken))
        taken.add(named.id)
        seen.add(named.id)
        modality = _modality(span, path, limits, registry, found)
        language = span.language
        if not language and span.text:
            language = registry.detect_language(span.text) or ""
        result.append(ContextSpan(named, modality, language or UNDETERMINED_LANGUAGE))
    return result


def _free_id(taken: set[str]) -> str:
    number = 1
    while f"s{number}" in taken:
        number += 1
    return f"s{number}"


def _modality(span: Span, path: str, limits: Limits, registry: Registry, found: list[FieldViolation]) -> str:
    if (span.text is None) == (span.media is None):
        found.append(FieldViolation(path, "holds no content; set text or media" if span.text is None else "holds both"))
        return ""
    if span.media is None:
        if not (span.text or "").strip():
            found.append(FieldViolation(f"{path}.text", "is empty"))
        return TEXT
    if len(span.media.data) > limits.max_media_bytes:
        size = len(span.media.data)
        found.append(FieldViolation(f"{path}.media.data", f"holds {size} bytes; at most {limits.max_media_bytes}"))
    if not span.media.data:
        found.append(FieldViolation(f"{path}.media.data", "is empty"))
    kinds = {kind: modality.name for modality in registry.modalities for kind in modality.media_types}
    media_type = span.media.media_type
    if media_type not in kinds:
        taken = f"taken: {', '.join(sorted(kinds))}" if kinds else "only text is taken"
        found.append(
            FieldViolation(
                f"{path}.media.media_type", f"no installed plugin takes {media_type!r}; {taken}; install one that does"
            )
        )
        return ""
    return kinds[media_type]


def _rebalance(rebalance: Rebalance, default_policy: str, registry: Registry, found: list[FieldViolation]) -> Rebalance:
    """The policy settled and its parameter names checked; their values are the policy's business."""
    name = rebalance.policy or default_policy
    if rebalance.bias and name != "fixed":
        found.append(FieldViolation("rebalance.bias", f'belongs to policy "fixed"; the policy here is {name!r}'))
    for span, epsilon in rebalance.bias.items():
        if math.isnan(epsilon):
            found.append(FieldViolation(f"rebalance.bias[{span}]", "is not a number"))
    policy = registry.policies.get(name)
    if policy is None:
        known = ", ".join(registry.policies.names())
        found.append(FieldViolation("rebalance.policy", f"{name!r} is not known; known: {known}"))
    else:
        for key, value in rebalance.parameters.items():
            field = f"rebalance.parameters[{key}]"
            if key not in policy.parameters:
                known = ", ".join(sorted(policy.parameters)) or "none"
                found.append(FieldViolation(field, f"is no parameter of policy {name!r}; its parameters: {known}"))
            elif math.isnan(value):
                found.append(FieldViolation(field, "is not a number"))
    return replace(rebalance, policy=name, scope=rebalance.scope or Scope.READERS)


def _decoding(decoding: Decoding, limits: Limits, found: list[FieldViolation]) -> Decoding:
    if decoding.max_tokens > limits.max_tokens:
        found.append(FieldViolation("decoding.max_tokens", f"is {decoding.max_tokens}; at most {limits.max_tokens}"))
    if not 0.0 <= decoding.temperature <= 10.0:
        found.append(FieldViolation("decoding.temperature", f"is {decoding.temperature}; from 0 (greedy) to 10"))
    return replace(decoding, max_tokens=decoding.max_tokens or DEFAULT_MAX_TOKENS)
