"""Decides whether a request is acceptable, and settles what it leaves open. Lists every violation, not the first.

Used by the guard in process and behind the server alike, so both say the same. Token counts are not checked here: only
an engine can count them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xmguard.bias import MAX_EPSILON
from xmguard.context import Context, ContextSpan
from xmguard.contracts import RebalancePolicy
from xmguard.errors import FieldViolation, InvalidRequest, ModelNotFound, Reason, keyed, quoted
from xmguard.language_tags import answered_in, language_of, question_language
from xmguard.parts import TEXT
from xmguard.plugins import Registry
from xmguard.profile import Profile
from xmguard.request import PER_SPAN, AnswerRequest, Decoding, OnConflict, OnError, Prompt, Rebalance, Scope
from xmguard.response import Limits
from xmguard.span import Span

DEFAULT_MAX_TOKENS = 128
BIASABLE = "fixed"
"""The policy that the contract gives `bias` to."""
MEASURE_ONLY = "none"
"""The policy that steers nothing."""
MAX_LABEL = 128
"""Characters of a span's id or source: both are quoted in sentences."""
MAX_CHARACTERS_PER_TOKEN = 64
"""A text longer than the context's tokens times this cannot fit; it is refused before it is tokenised, which takes
seconds for megabytes and cannot be interrupted."""
MIN_TEMPERATURE = 0.01
"""Below it only the likeliest token is ever drawn, and logits divided by it leave float32."""
LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
"""What may stand for a language: the outer form of a BCP-47 tag. Its first part may have up to eight letters, but none
of more than three was ever registered, and a language's name would pass for one ("Spanish")."""
MEDIA_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]{0,126}/[A-Za-z0-9][\w!#$&^.+-]{0,126}", re.ASCII)
"""What may stand for a media type (RFC 6838, section 4.2); parameters are no part of it."""
_HALF = re.compile("[\\ud800-\\udfff]")
"""Half of a surrogate pair: Python reads such from files with `surrogateescape`, and no encoding and no tokenizer takes
it."""
_HALVES = "holds half of a surrogate pair, which is no character; decode the text anew"
INSTALLED_FOR: Mapping[str, str] = {"image": "xmguard-image"}
"""First half of a media type to the distribution that brings its modality, for who lacks it."""


@dataclass(frozen=True)
class ValidRequest:
    """A request with every default settled, and its context."""

    request: AnswerRequest
    """With span ids, enums, policy and max_tokens filled in."""
    context: Context


def validate(
    request: AnswerRequest, *, model: str, profile: Profile, limits: Limits, registry: Registry, unsteerable: str = ""
) -> ValidRequest:
    """Check a request against what is served.

    Args:
        request: as it came.
        model: the name of the served model.
        profile: has the policy, with its parameters, of a request that names none.
        limits: what a request may hold.
        registry: the plugins.
        unsteerable: why the served model cannot be steered; empty if it can.

    Raises:
        ModelNotFound: the request names another model.
        InvalidRequest: with every violation found.
    """
    if request.model and request.model != model:
        raise ModelNotFound(f"model: {quoted(request.model)} is not served here; served: {model}")
    found: list[FieldViolation] = []
    if not request.question.strip():
        found.append(FieldViolation("question", "is empty"))
    if _HALF.search(request.question):
        found.append(FieldViolation("question", _HALVES))
    spans = _spans(request.spans, limits, registry, found)
    ids = [span.id for span in spans]
    rebalance = _rebalance(request.rebalance, profile.default(spans), ids, registry, found)
    if unsteerable and rebalance.policy != MEASURE_ONLY:
        why = f"is {quoted(rebalance.policy)}, and the served model cannot be steered: {unsteerable}"
        found.append(FieldViolation("rebalance.policy", f'{why}; send "{MEASURE_ONLY}", or leave it empty'))
    decoding = _decoding(request.decoding, limits, found)
    threshold = request.conflict_threshold
    if threshold is not None and not 0.0 <= threshold <= 1.0:  # NaN fails the comparison too
        found.append(FieldViolation("conflict_threshold", f"is {threshold}; a probability from 0 to 1"))
    too_long = _too_long(request, limits)
    if too_long:
        raise InvalidRequest([*found, *too_long], reason=Reason.PROMPT_TOO_LONG)
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
    written = question_language(request.question, registry)
    return ValidRequest(settled, Context(tuple(spans), request.question, answered_in(written, registry), written))


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
        for field, label in (("id", span.id), ("source", span.source)):
            if len(label) > MAX_LABEL or not label.isprintable():
                allowed = f"at most {MAX_LABEL} characters, none of them a control one"
                found.append(FieldViolation(f"{path}.{field}", f"takes {allowed}"))
        if span.language and not LANGUAGE_TAG.fullmatch(span.language):
            found.append(FieldViolation(f"{path}.language", 'is no BCP-47 tag such as "en" or "pt-BR"'))
        if span.id in seen:
            found.append(FieldViolation(f"{path}.id", f"{quoted(span.id)} is used twice; ids are unique"))
        named = span if span.id else replace(span, id=_free_id(taken))
        taken.add(named.id)
        seen.add(named.id)
        modality = _modality(span, path, limits, registry, found)
        # Media has no language of its own; whatever text is in it, nobody has read it yet.
        language = span.language or language_of(span.text or "", registry)
        result.append(ContextSpan(named, modality, language))
    return result


def _too_long(request: AnswerRequest, limits: Limits) -> list[FieldViolation]:
    """Texts that cannot fit into the context whatever their tokens are; none where its length is not known."""
    tokens = limits.max_prompt_tokens
    if not tokens:
        return []
    texts = {f"spans[{index}].text": span.text or "" for index, span in enumerate(request.spans)}
    return [
        FieldViolation(field, f"holds {len(text)} characters, more than the model's context of {tokens} tokens takes")
        for field, text in (texts | {"question": request.question}).items()
        if len(text) > tokens * MAX_CHARACTERS_PER_TOKEN
    ]


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
        if _HALF.search(span.text or ""):
            found.append(FieldViolation(f"{path}.text", _HALVES))
        return TEXT
    if len(span.media.data) > limits.max_media_bytes:
        size = len(span.media.data)
        found.append(FieldViolation(f"{path}.media.data", f"holds {size} bytes; at most {limits.max_media_bytes}"))
    if not span.media.data:
        found.append(FieldViolation(f"{path}.media.data", "is empty"))
    kinds = {kind: modality.name for modality in registry.modalities for kind in modality.media_types}
    modality = kinds.get(span.media.media_type, "")
    if not modality:
        found.append(FieldViolation(f"{path}.media.media_type", _not_taken(span.media.media_type, sorted(kinds))))
    return modality


def _not_taken(media_type: str, taken: Sequence[str]) -> str:
    """Why no modality takes a media type, and what would change that.

    A part of the request is wrong here, so that its status is INVALID_ARGUMENT like that of everything else that is
    found wrong with it; UNIMPLEMENTED would speak of the whole method.
    """
    if not MEDIA_TYPE.fullmatch(media_type):
        return 'is no media type such as "image/png"'
    family = media_type.split("/")[0].lower()
    known = f"taken: {', '.join(taken)}" if taken else "only text is taken"
    if family in INSTALLED_FOR and not any(kind.startswith(f"{family}/") for kind in taken):
        remedy = f"install it where the model runs: pip install {INSTALLED_FOR[family]}"
    elif any(kind.startswith(f"{family}/") for kind in taken):
        remedy = "send one of these"
    else:
        remedy = "install a plugin that takes it where the model runs"
    return f"no installed plugin takes {quoted(media_type)}; {known}; {remedy}"


def _rebalance(
    rebalance: Rebalance,
    default: Rebalance,
    ids: list[str],
    registry: Registry,
    found: list[FieldViolation],
) -> Rebalance:
    """The policy settled, its bias and the names of its parameters checked; their values are the policy's business.

    A request that names no policy but says how to steer replaces the default's parameters, all of them.
    """
    name = rebalance.policy or default.policy
    own = rebalance.policy or rebalance.parameters or rebalance.bias
    parameters = rebalance.parameters if own else default.parameters
    if rebalance.bias and name != BIASABLE:
        wrong = f'belongs to policy "{BIASABLE}"; the policy here is {quoted(name)}'
        found.append(FieldViolation("rebalance.bias", wrong))
    for span, epsilon in rebalance.bias.items():
        field = keyed("rebalance.bias", span)
        if span not in ids:
            found.append(FieldViolation(field, f"is no span of this request; spans: {', '.join(ids)}"))
        if math.isnan(epsilon) or epsilon > MAX_EPSILON:
            found.append(FieldViolation(field, f"is {epsilon}; from -infinity to {MAX_EPSILON:g} nats"))
    policy = registry.policies.get(name)
    if policy is None:
        known = ", ".join(registry.policies.names())
        found.append(FieldViolation("rebalance.policy", f"{quoted(name)} is not known; known: {known}"))
    else:
        found += wrong_parameters(policy, parameters, ids)
    return replace(rebalance, policy=name, parameters=parameters, scope=rebalance.scope or Scope.READERS)


def wrong_parameters(
    policy: RebalancePolicy, parameters: Mapping[str, float], ids: Sequence[str]
) -> list[FieldViolation]:
    """What is wrong with a policy's parameters before it sees them: names it does not document, and NaN.

    A documented name that ends in `.SPAN` stands for one name per id of `ids`.
    """
    plain = {name for name in policy.parameters if not name.endswith(PER_SPAN)}
    stems = [name.removesuffix("SPAN") for name in policy.parameters if name.endswith(PER_SPAN)]
    found = []
    for key, value in parameters.items():
        field = keyed("rebalance.parameters", key)
        spans = [key.removeprefix(stem) for stem in stems if key.startswith(stem)]
        if key not in plain and not spans:
            known = ", ".join(sorted(policy.parameters)) or "none"
            found.append(FieldViolation(field, f"is no parameter of policy {policy.name!r}; its parameters: {known}"))
        elif key not in plain and not any(span in ids for span in spans):
            wrong = f"{quoted(spans[0])} is no span of this request; spans: {', '.join(ids)}"
            found.append(FieldViolation(field, wrong if ids else "names a span where none is known"))
        elif math.isnan(value):
            found.append(FieldViolation(field, "is not a number"))
    return found


def _decoding(decoding: Decoding, limits: Limits, found: list[FieldViolation]) -> Decoding:
    if decoding.max_tokens > limits.max_tokens:
        found.append(FieldViolation("decoding.max_tokens", f"is {decoding.max_tokens}; at most {limits.max_tokens}"))
    if decoding.temperature and not MIN_TEMPERATURE <= decoding.temperature <= 10.0:
        found.append(
            FieldViolation(
                "decoding.temperature", f"is {decoding.temperature}; 0 (greedy), or from {MIN_TEMPERATURE} to 10"
            )
        )
    return replace(decoding, max_tokens=decoding.max_tokens or DEFAULT_MAX_TOKENS)
