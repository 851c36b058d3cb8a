"""Runs a policy's plan on the tiny model, in the engine and in the reference, and says what share rules promise.

For `xmguard.testing.policies`, which asserts; knows no policy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from xmguard.bias import AttentionBias, FloorShares, RebalancePlan, ShareRule, SoftenShares, TargetShares
from xmguard.context import Context, ContextSpan, EncodedPrompt
from xmguard.contracts import Branch, RebalancePolicy
from xmguard.deadline import Stop
from xmguard.measurement import Measurement
from xmguard.planning import plan_bias
from xmguard.profile import Profile
from xmguard.request import Decoding, Prompt, Rebalance
from xmguard.span import Span
from xmguard.testing.reference import ReferencePass
from xmguard.testing.tiny import tiny_model

SPANS = ("s1", "s2", "s3")
"""Ids of the spans of the context that policies are tried on."""
TOKENS = 6
"""Generated, so that steered rows feed later ones."""
TOLERANCE = 2e-4
"""Of shares, contributions and log-probabilities: the engine computes in float32, the reference in float64."""

_TEXTS = ("The sign says OPEN until nine.", "标志上写着：关门。", "No sign.")
_CONTEXT = Context(
    tuple(ContextSpan(Span(span, text), "text", "en") for span, text in zip(SPANS, _TEXTS, strict=True)),
    "What does the sign say?",
)


@dataclass(frozen=True)
class Observed:
    """What a run shows, float64. Shares and norms are means over the rows of the prompt's tail and of the answer."""

    logprobs: Tensor
    """Of the tokens that the engine generated, [token]."""
    masses: Tensor
    """[rows of which kind, layer, head, segment]"""
    norms: Tensor


@dataclass(frozen=True)
class Steered:
    """One plan carried out."""

    plan: RebalancePlan
    engine: Observed
    reference: Observed
    plain: Observed
    """The reference without any bias, over the same tokens."""


def steer(policy: RebalancePolicy, wanted: Rebalance, profile: Profile | None) -> Steered:
    """Plan on the engine's own measurement, and carry the plan out in both."""
    backend, reference = tiny_model()
    prompt = backend.encode(_CONTEXT, Prompt.STANDARD)
    session = backend.open(prompt, Stop())
    measured = session.measure(Branch("plain", prompt.joint_tail, AttentionBias(), measured=True))
    plan = plan_bias(policy, measured, wanted, profile)
    bias = plan.bias or AttentionBias()
    branch = Branch("steered", prompt.joint_tail, bias, measured=True)
    tokens = list(session.decode([branch], {branch.name: Decoding(max_tokens=TOKENS)}))
    parts = [session.measure(branch), session.generated(branch)]
    engine = Observed(
        torch.tensor([token.logprob for token in tokens], dtype=torch.float64),
        torch.stack([torch.tensor(part.masses, dtype=torch.float64) for part in parts]),
        torch.stack([torch.tensor(part.norms, dtype=torch.float64) for part in parts]),
    )
    session.close()
    answer = [token.id for token in tokens]
    ids = [*prompt.context_ids, *prompt.joint_tail, *answer]
    asked = len(ids) - len(answer)
    return Steered(
        plan,
        engine,
        _observed(reference.run(ids, prompt.span_map, bias, prompt_tokens=asked), prompt, answer),
        _observed(reference.run(ids, prompt.span_map, AttentionBias(), prompt_tokens=asked), prompt, answer),
    )


def _observed(ran: ReferencePass, prompt: EncodedPrompt, answer: list[int]) -> Observed:
    asked = len(prompt.context_ids) + len(prompt.joint_tail)
    logprobs = torch.log_softmax(ran.logits, dim=-1)[asked - 1 : -1]
    # The last token is never read back.
    rows = (slice(prompt.span_map.context_tokens, asked), slice(asked, asked + len(answer) - 1))

    def means(layers: list[Tensor]) -> Tensor:
        cube = torch.stack(layers).transpose(1, 2)  # [layer, head, segment, query]
        return torch.stack([cube[..., part].mean(-1) for part in rows])

    return Observed(logprobs[torch.arange(len(answer)), torch.tensor(answer)], means(ran.masses), means(ran.norms))


Shares = Mapping[str, float]
"""Span id to the share of one row's attention; the rest is under the empty name."""


def single_row(policy: RebalancePolicy, wanted: Rebalance) -> Iterator[tuple[ShareRule, Shares, Shares]]:
    """The plan's share rule and the shares of one row before and under it, for every layer and head.

    Those under it are the engine's. Nothing if the plan has no rule.
    """
    backend, reference = tiny_model()
    prompt = backend.encode(_CONTEXT, Prompt.STANDARD)
    session = backend.open(prompt, Stop())
    measured = session.measure(Branch("plain", prompt.joint_tail, AttentionBias(), measured=True))
    bias = plan_bias(policy, measured, wanted, None).bias or AttentionBias()
    tail = prompt.joint_tail[:1]
    after: Measurement = session.measure(Branch("one row", tail, bias, measured=True))
    session.close()
    ids = [*prompt.context_ids, *tail]
    before = reference.run(ids, prompt.span_map, bias, prompt_tokens=len(ids)).before_rule
    names = ("", *SPANS)
    for layer, heads in enumerate(after.masses):
        for head, masses in enumerate(heads):
            if bias.rule is not None:
                present = before[layer][:, head, -1].tolist()
                yield bias.rule, dict(zip(names, present, strict=True)), dict(zip(names, masses, strict=True))


def broken_promise(rule: ShareRule, before: Shares, after: Shares) -> str:
    """What is wrong with a row's shares under a rule, in words; empty if nothing is."""
    wanted = _WANTED[type(rule)](rule, before)
    wrong = {name: share for name, share in wanted.items() if abs(share - after[name]) > TOLERANCE}
    return f"{rule} of {before} wants {wrong}, got {after}" if wrong else ""


def _target(rule: TargetShares, before: Shares) -> Shares:
    return {span: share for span, share in rule.shares.items() if before[span] > 0.0}


def _floor(rule: FloorShares, before: Shares) -> Shares:
    largest = max(before[span] for span in SPANS)
    lifted = dict(before)
    for span, part in rule.minimum.items():
        lifted[span] = max(before[span], min(part * largest, math.exp(rule.cap) * before[span]))
    total = math.fsum(lifted.values())
    return {name: share / total for name, share in lifted.items()}


def _soften(rule: SoftenShares, before: Shares) -> Shares:
    flat = {span: before[span] ** (1.0 / rule.temperature) for span in SPANS}
    kept = math.fsum(before[span] for span in SPANS) / math.fsum(flat.values())
    return {"": before[""], **{span: share * kept for span, share in flat.items()}}


_WANTED: Mapping[type, Callable[..., Shares]] = {TargetShares: _target, FloorShares: _floor, SoftenShares: _soften}
