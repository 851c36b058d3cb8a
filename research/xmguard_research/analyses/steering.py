"""Reads cases under one bias after another: on which source, how strong, and who reads with it.

All settings of a case are decoded as one batch on one context. A bias of 0 is the plain reading and is not read again.
Policies plan without the model's profile, whose factors would reach every bias: what is swept is the paper's
intervention, the same in all layers and heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xmguard import Decoding, Guard, Rebalance
from xmguard.bias import MAX_EPSILON, MAX_SHARES, MIN_SHARE, AttentionBias
from xmguard.contracts import Branch
from xmguard.errors import InvalidRequest
from xmguard.measurement import Measurement
from xmguard.planning import plan_bias
from xmguard_research.analyses.opening import Asking, opened
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.settings import SCOPES
from xmguard_research.results import append, known, producer

Knob = Literal["epsilon", "share"]
STEERED = ("later", "weaker")
PLAIN = "plain"


@dataclass(frozen=True)
class Setting:
    """One way of steering."""

    knob: Knob
    """A constant epsilon in nats, or a share of every row's attention (policies `fixed` and `target`)."""
    amount: float
    steer: str = "later"
    """Of `STEERED`: the source that is read last, or the one that contributes less without bias."""
    scope: str = "readers"
    """Of `SCOPES`."""

    def __post_init__(self) -> None:
        if self.steer not in STEERED:
            raise InvalidRequest.field("steer", f"{self.steer!r} is neither of {', '.join(STEERED)}")
        if self.scope not in SCOPES:
            raise InvalidRequest.field("scopes", f"{self.scope!r} is not one of {', '.join(SCOPES)}")
        low, high = (-MAX_EPSILON, MAX_EPSILON) if self.knob == "epsilon" else (MIN_SHARE, MAX_SHARES)
        if not low <= self.amount <= high:  # NaN fails it too
            raise InvalidRequest.field(self.knob, f"is {self.amount}; from {low:g} to {high:g}")

    @property
    def name(self) -> str:
        """Identifies it in a row; what changes nothing is `PLAIN`, whatever else it says."""
        if self.knob == "epsilon" and self.amount == 0.0:
            return PLAIN
        return f"{self.knob}={self.amount:g} on {self.steer} for {self.scope}"

    def rebalance(self, span: str) -> Rebalance:
        """What is asked of the policy, for a source that is chosen."""
        scope = SCOPES[self.scope]
        if self.knob == "epsilon":
            return Rebalance("fixed", bias={span: self.amount}, scope=scope)
        return Rebalance("target", {f"share.{span}": self.amount}, scope=scope)


@dataclass(frozen=True)
class Steered:
    """What was answered under one setting."""

    key: str
    produced_by: str
    setting: str
    weaker: int
    """Position of the source that contributes less without bias."""
    answer: str


@dataclass(frozen=True)
class Swept:
    """A case and its answers by name of the setting, `PLAIN` among them."""

    case: Case
    weaker: int
    answers: dict[str, str]

    def steered(self, steer: str) -> int:
        """Position of the source that is steered."""
        return self.weaker if steer == "weaker" else len(self.case.spans) - 1


def sweep(guard: Guard, cases: Sequence[Case], settings: Sequence[Setting], asking: Asking, rows: Path) -> list[Swept]:
    """Every case under every setting and plain; what `rows` has is not asked again.

    Raises:
        InvalidRequest: a case cannot be asked.
        typer.BadParameter: `rows` holds what another model or version said.
    """
    by_name = {setting.name: setting for setting in settings if setting.name != PLAIN}
    names = [PLAIN, *by_name]
    done = known(rows, Steered, producer(guard))

    def open_names(case: Case) -> list[str]:
        return [name for name in names if _key(asking, case, name) not in done]

    def measure(case: Case) -> list[Steered]:
        wanted = open_names(case)
        return answers(guard, case, {name: by_name.get(name) for name in wanted}, asking)

    missing = [case for case in cases if open_names(case)]
    done |= {row.key: row for row in append(rows, missing, measure, "steering cases")}
    found = []
    for case in cases:
        own = {name: done[_key(asking, case, name)] for name in names}
        found.append(Swept(case, own[PLAIN].weaker, {name: row.answer for name, row in own.items()}))
    return found


def answers(guard: Guard, case: Case, settings: dict[str, Setting | None], asking: Asking) -> list[Steered]:
    """Answer one case under every named setting; None is no bias."""
    with opened(guard, case, asking) as on:
        before = on.session.measure(on.joint)
        contributions = list(before.contributions.values())
        weaker = contributions.index(min(contributions))
        branches = [
            Branch(name, on.prompt.joint_tail, _bias(guard, before, setting, weaker), answers=True)
            for name, setting in settings.items()
        ]
        said: dict[str, list[int]] = {branch.name: [] for branch in branches}
        for token in on.session.decode(branches, dict.fromkeys(said, Decoding(max_tokens=asking.tokens))):
            if not token.is_end:
                said[token.branch].append(token.id)
    return [
        Steered(_key(asking, case, name), producer(guard), name, weaker, guard.backend.text(ids))
        for name, ids in said.items()
    ]


def _bias(guard: Guard, before: Measurement, setting: Setting | None, weaker: int) -> AttentionBias:
    if setting is None:
        return AttentionBias()
    spans = before.span_map.ids
    wanted = setting.rebalance(spans[weaker] if setting.steer == "weaker" else spans[-1])
    plan = plan_bias(guard.registry.policies.items[wanted.policy], before, wanted, None)
    if plan.bias is None:
        raise RuntimeError(f"{setting.name}: nothing is applied: {plan.reason}")
    return plan.bias


def _key(asking: Asking, case: Case, name: str) -> str:
    return f"{asking.key(case)}|{name}"
