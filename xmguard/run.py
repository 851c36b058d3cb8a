"""One request on its way through the guard: what it is made of, and the reports on it.

Holds state and arithmetic; the order of events is `xmguard.guard`'s.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xmguard.alone import AloneReading
from xmguard.bias import AttentionBias, RebalancePlan
from xmguard.context import EncodedPrompt
from xmguard.contracts import Branch, GuardEvent, Session, Token
from xmguard.deadline import Stop
from xmguard.explanation import Explanation
from xmguard.measurement import DirectedContribution, Measurement
from xmguard.reports import span_reports
from xmguard.request import AnswerRequest, Decoding, Scope
from xmguard.response import AnswerResponse, CheckResponse, Delta, Rebalancing, SpanReport, Usage
from xmguard.steps import Steps
from xmguard.usage import SessionUsage
from xmguard.validation import ValidRequest


@dataclass(frozen=True)
class Rebalanced:
    """The joint reading, measured without and with the policy's bias where the engine measures."""

    unbiased: Branch
    joint: Branch
    """The same branch as `unbiased` when nothing is applied."""
    before: Measurement | None
    """None where the engine measures nothing."""
    after: Measurement | None
    plan: RebalancePlan

    @property
    def applied(self) -> bool:
        """Whether a bias is applied."""
        return self.joint is not self.unbiased


@dataclass
class Run:
    """One request on its way through the guard."""

    request_id: str
    valid: ValidRequest
    prompt: EncodedPrompt
    session: Session
    stop: Stop
    queue_seconds: float
    started: float
    """`time.monotonic` when the work began."""
    skip: str = ""
    """Why no evidence is gathered, for people; empty where it is."""
    suffix: str = ""
    """Of the names of its branches, where several runs share a session."""
    steps: Steps = field(default_factory=Steps)
    first_token_seconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    rebalanced: Rebalanced | None = None
    """Known once the joint reading has been measured."""
    said: list[Token] = field(default_factory=list)
    """Tokens of the joint answer that were shown."""
    held: int = 0
    """Of them, those that were decoded before the verdict, and are shown at once."""
    gaps: list[float] = field(default_factory=list)
    """Seconds from each of the others to the one before it."""
    said_at: float = 0.0
    """`time.monotonic` at the last of them."""
    generated: Measurement | None = None
    """Over the shown answer's tokens that were read back."""
    beside: list[SessionUsage] = field(default_factory=list)
    """What sessions beside the request's own have run: for quotes, and for reading the spans in the other order."""
    directed: DirectedContribution | None = None
    """Toward the shown answer, if that was asked for."""

    @property
    def request(self) -> AnswerRequest:
        """The request with its defaults settled."""
        return self.valid.request

    @property
    def unbiased(self) -> Branch:
        """The joint reading without a bias."""
        return Branch(f"unbiased{self.suffix}", self.prompt.joint_tail, AttentionBias(), measured=True, answers=True)

    @property
    def measured(self) -> Rebalanced:
        """The joint reading once it has been measured.

        Raises:
            RuntimeError: it has not been.
        """
        if self.rebalanced is None:
            raise RuntimeError("nothing has been measured yet")
        return self.rebalanced

    @property
    def needs_alone(self) -> bool:
        """Whether the spans are read alone: for the verdict, or because their answers were asked for."""
        return not self.skip and (len(self.valid.context.spans) > 1 or self.request.detail.alone_answers)

    def delta(self, text: str) -> Delta:
        """A piece of the answer; the first one stops the clock."""
        if self.first_token_seconds is None:
            self.first_token_seconds = time.monotonic() - self.started
        return Delta(text)

    def say(self, token: Token) -> None:
        """A token of the joint answer is shown."""
        now = time.monotonic()
        if len(self.said) >= max(1, self.held):
            self.gaps.append(now - self.said_at)
        self.said_at = now
        self.said.append(token)

    def event(self, response: AnswerResponse | CheckResponse) -> GuardEvent:
        """What observers are told once it is answered or checked."""
        return GuardEvent(
            "check" if isinstance(response, CheckResponse) else "answer",
            self.request,
            response,
            self.first_token_seconds,
            tuple(self.gaps),
            self.steps.taken,
        )

    def reports(self, rebalanced: Rebalanced, alone: AloneReading | None = None) -> tuple[SpanReport, ...]:
        """One report per span."""
        detail = self.request.detail
        return span_reports(
            self.valid.context,
            rebalanced.before,
            rebalanced.after,
            bias=self._epsilon(rebalanced),
            generated=self.generated,
            directed=self.directed,
            alone=alone.answers() if alone is not None and detail.alone_answers else None,
            layers=detail.layers,
        )

    def rebalancing(self, rebalanced: Rebalanced) -> Rebalancing:
        """Whether attention was steered, and why."""
        wanted = self.request.rebalance
        if not rebalanced.applied or self._took_effect(rebalanced):
            scope = rebalanced.joint.bias.scope if rebalanced.applied else wanted.scope
            return Rebalancing(rebalanced.applied, wanted.policy, rebalanced.plan.reason, scope)
        nothing = "scope GENERATED acts on generated tokens that are read back, and there were none"
        return Rebalancing(False, wanted.policy, nothing, Scope.GENERATED)

    def _epsilon(self, rebalanced: Rebalanced) -> Mapping[str, float] | None:
        """Mean epsilon of the rows that were read with the bias, or None if there were none."""
        if not self._took_effect(rebalanced):
            return None
        if rebalanced.joint.bias.scope is Scope.GENERATED and self.generated is not None:
            return self.generated.epsilon
        return None if rebalanced.after is None else rebalanced.after.epsilon

    def _took_effect(self, rebalanced: Rebalanced) -> bool:
        """Whether any row was read with the bias."""
        if not rebalanced.applied or rebalanced.joint.bias.scope is not Scope.GENERATED:
            return rebalanced.applied
        return self.generated is not None and self.generated.rows > 0

    def explanation(self, response: AnswerResponse) -> Explanation:
        """The numbers behind the reports of an answer.

        Raises:
            RuntimeError: nothing was measured.
        """
        before, after = self.measured.before, self.measured.after
        if before is None or after is None:
            raise RuntimeError("the engine measures nothing")
        return Explanation(response, before, after, self.generated, self.directed)

    def usage(self) -> Usage:
        """What the request has cost so far."""
        spent = self.session.usage()
        if spent.branches is None:
            tail = len(self.prompt.joint_tail)
            prompt, said = len(self.prompt.context_ids) + tail, len(self.said)
            # The joint answer's own: its tail, and its tokens but the last, which is not read back.
            own = tail + max(0, said - 1)
        else:
            prompt, said = (0, 0) if self.rebalanced is None else spent.branches.get(self.measured.joint.name, (0, 0))
            own = prompt + said
        again = max(0, spent.context_tokens - len(self.prompt.context_ids))  # under a bias inside it
        evidence = again + spent.branch_tokens + sum(one.context_tokens + one.branch_tokens for one in self.beside)
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=said,
            seconds=time.monotonic() - self.started,
            queue_seconds=self.queue_seconds,
            cached_tokens=spent.cached_tokens + sum(one.cached_tokens for one in self.beside),
            evidence_tokens=max(0, evidence - own),
        )


def branches_of(runs: Sequence[Run], alone: AloneReading) -> tuple[list[Branch], dict[str, Decoding]]:
    """What is decoded as one batch: the joint answers of the runs, and each span alone where that is needed."""
    branches: list[Branch] = []
    decoding: dict[str, Decoding] = {}
    for run in runs:
        rebalanced, own = run.measured, [run.measured.joint]
        if run.request.detail.unbiased_answer and rebalanced.applied:
            own.append(rebalanced.unbiased)
        branches += own
        decoding |= {branch.name: run.request.decoding for branch in own}
    if runs[0].needs_alone:
        branches += alone.branches
        decoding |= alone.decoding
    return branches, decoding
