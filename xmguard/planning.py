"""Asks a rebalancing policy for its plan, and refuses what could not be applied as it stands.

A policy may be anybody's plugin, and a profile anybody's file: neither may make a bias look applied that is not. Knows
no policy by name.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from xmguard.abilities import Ability
from xmguard.bias import MAX_EPSILON, AttentionBias, RebalancePlan, ShareRule
from xmguard.context import Context, ContextSpan, EncodedPrompt
from xmguard.contracts import Backend, Branch, RebalancePolicy
from xmguard.deadline import Stop
from xmguard.errors import FieldViolation, InvalidRequest, ModelRefused, PluginError, XmguardError, keyed
from xmguard.measurement import Measurement
from xmguard.parts import TEXT
from xmguard.plugins import Registry
from xmguard.profile import CARD, Profile
from xmguard.request import Prompt, Rebalance, Scope
from xmguard.span import Span
from xmguard.validation import wrong_parameters

log = logging.getLogger(__name__)

_EXAMPLE = Context(
    (
        ContextSpan(Span("s1", "The door is open."), TEXT, "en"),
        ContextSpan(Span("s2", "The door is shut."), TEXT, "en"),
    ),
    "Is the door open?",
)


def plan_bias(
    policy: RebalancePolicy, measured: Measurement, wanted: Rebalance, profile: Profile | None
) -> RebalancePlan:
    """Ask a policy; its arguments are those of `RebalancePolicy.plan`.

    Raises:
        InvalidRequest: what the policy says of the request.
        PluginError: the policy broke or planned the impossible; it is named.
    """
    try:
        plan = policy.plan(measured, wanted, profile)
    except XmguardError:
        raise
    except Exception as error:  # a plugin may raise anything
        log.exception("policy %s failed", policy.name)
        raise PluginError(
            f"policy {policy.name!r} failed with {type(error).__name__}; the server's log says where"
        ) from error
    if not isinstance(plan, RebalancePlan):
        raise PluginError(f"policy {policy.name!r} returned no RebalancePlan but {type(plan).__name__}")
    if plan.bias is not None:
        _check(plan.bias, policy.name, measured)
        if profile is not None and profile.heads is not None and plan.bias.heads is None:
            raise PluginError(f"policy {policy.name!r} leaves out the heads of profile {profile.name!r}")
    return plan


def _check(bias: AttentionBias, policy: str, measured: Measurement) -> None:
    if bias.rule is not None and not isinstance(bias.rule, ShareRule):
        raise PluginError(f"policy {policy!r} planned a rule that no engine knows: {type(bias.rule).__name__}")
    unknown = bias.spans - set(measured.span_map.ids)
    if unknown:
        raise PluginError(f"policy {policy!r} planned a bias for {', '.join(sorted(unknown))}, which are no spans")
    wrong = {span: value for span, value in bias.epsilon.items() if not value <= MAX_EPSILON}  # NaN fails it too
    if wrong:
        raise PluginError(f"policy {policy!r} planned {wrong}; from -infinity to {MAX_EPSILON:g} nats")
    shape = [len(layer) for layer in measured.norms]
    if bias.heads is not None and [len(layer) for layer in bias.heads] != shape:
        raise PluginError(
            f"policy {policy!r} planned factors for other heads than the model has: {len(shape)} layers of {shape[0]}"
        )


def check_profile(profile: Profile, model: str, backend: Backend, registry: Registry) -> None:
    """Refuse a profile that some request would only fail on later: it is tried on a small question.

    Raises:
        ModelRefused: it names an unknown policy, parameter or feature, the policy refuses its values, its heads are not
            the model's, or the model was loaded without its probe, with every reason found; or its engine measures
            nothing.
        PluginError: the policy itself broke.
    """
    if cannot := backend.lacks.get(Ability.MEASURE):
        raise ModelRefused(model, [f"{CARD}: profile: engine {backend.engine} can follow none: {cannot}"])
    prompt = backend.encode(_EXAMPLE, Prompt.STANDARD)
    measured = _measured(backend, prompt)
    layers, heads = len(measured.norms), len(measured.norms[0])
    reasons = []
    defaults = {"rebalance": Rebalance(profile.policy, profile.parameters)}
    defaults |= {keyed("rebalance.pairs", pair): own for pair, own in profile.pairs.items()}
    for path, default in defaults.items():
        if default.policy not in registry.policies.items:
            known = ", ".join(registry.policies.names())
            reasons.append(f"{path}.policy: {default.policy!r} is not known; known: {known}")
    if profile.heads is not None and [len(layer) for layer in profile.heads] != [heads] * layers:
        given = f"{len(profile.heads)} layers of {', '.join(str(n) for n in sorted({len(h) for h in profile.heads}))}"
        reasons.append(f"rebalance.heads: holds {given} heads; the model has {layers} of {heads}")
    if profile.verdict is not None:
        unknown = sorted(set(profile.verdict.features) - set(registry.evidence_features.names()))
        if unknown:
            known = ", ".join(registry.evidence_features.names())
            reasons.append(f"verdict: no plugin provides the features {', '.join(unknown)}; there are {known}")
        if profile.verdict.probe is not None and not prompt.probe_tail:
            reasons.append("verdict.probe: the model was loaded without it, so its features would have no values")
    for path, default in () if reasons else defaults.items():
        for violation in _refused(default, measured, profile, registry):
            reasons.append(f"{path}{violation.field.removeprefix('rebalance')}: {violation.description}")
    if reasons:
        raise ModelRefused(model, [f"{CARD}: profile.{reason}" for reason in reasons])


def _refused(
    default: Rebalance, measured: Measurement, profile: Profile, registry: Registry
) -> Sequence[FieldViolation]:
    """What the policy of a default says of its parameters."""
    policy = registry.policies.items[default.policy]
    violations = wrong_parameters(policy, default.parameters, ())
    if not violations:
        try:
            plan_bias(policy, measured, replace(default, scope=Scope.READERS), profile)
        except InvalidRequest as error:
            violations = list(error.violations)
    return violations


def _measured(backend: Backend, prompt: EncodedPrompt) -> Measurement:
    """The example measured on the model: what a policy is tried on before there is a request."""
    session = backend.open(prompt, Stop())
    try:
        return session.measure(Branch("example", prompt.joint_tail, AttentionBias(), measured=True))
    finally:
        session.close()
