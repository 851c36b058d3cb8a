"""What one Answer does, from spans and a question to a verdict and an answer. Reads top to bottom.

Knows no engine, no transport and no policy by name: it puts together what the registry and the backend offer. Runs in
the caller's thread, as many requests at a time as the backend takes; a server queues.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from threading import Lock

from xmguard import __version__
from xmguard.abilities import Ability
from xmguard.alone import AloneReading
from xmguard.bias import REMOVE, RebalancePlan
from xmguard.contracts import Backend, Branch, GuardEvent, Observer, Token
from xmguard.deadline import Stop
from xmguard.description import describe
from xmguard.errors import ModelNotFound, ModelRefused, quoted
from xmguard.evidence import Evidence
from xmguard.explanation import Explanation
from xmguard.finishing import finish
from xmguard.judging import Judge
from xmguard.measurement import Measurement
from xmguard.planning import check_profile, plan_bias
from xmguard.plugins import Registry
from xmguard.prepared import Prepared, prepare
from xmguard.profile import Profile
from xmguard.reports import imbalance
from xmguard.request import AnswerRequest, Scope
from xmguard.response import (
    AnswerResponse,
    CheckResponse,
    ConflictVerdict,
    Done,
    Event,
    Limits,
    ModelInfo,
    Stamp,
    Started,
)
from xmguard.run import Rebalanced, Run, branches_of
from xmguard.steps import Step, Steps
from xmguard.together import require_alike, require_same_reading
from xmguard.validation import MEASURE_ONLY

log = logging.getLogger(__name__)

UNPROFILED = Profile("", MEASURE_ONLY)
"""What a request gets that names no policy from a model without a profile: nobody has measured a bias for it."""


class Guard:
    """A loaded model with everything that turns it into a guard."""

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        *,
        model: str,
        profile: Profile | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Put a guard together.

        Args:
            backend: the loaded model.
            registry: the plugins.
            model: the name it is served under.
            profile: what is known of steering this model; None leaves it alone unless a request asks.
            observers: see every finished request, beside the registry's.

        Raises:
            ModelRefused: the profile does not fit the model or the installed policies.
        """
        if profile is not None:
            check_profile(profile, model, backend, registry)
        self.backend = backend
        self.registry = registry
        self.model = model
        self.profile = profile
        self._unnamed = profile or UNPROFILED
        # One token of the context is kept for an answer.
        self.limits = Limits(max_prompt_tokens=max(0, backend.context_length - 1))
        self.observer_failures: Counter[str] = Counter()
        """How often each observer raised."""
        self._counting = Lock()
        self._observers = (*registry.observers, *observers)
        self._judge = Judge(backend, registry, profile)

    # -- the calls ---------------------------------------------------------------------------------------------------

    def answer(
        self,
        request: AnswerRequest | Prepared,
        *,
        stop: Stop | None = None,
        request_id: str = "",
        queue_seconds: float = 0.0,
    ) -> AnswerResponse:
        """Answer a request; raises what `stream` raises."""
        for event in self.stream(request, stop=stop, request_id=request_id, queue_seconds=queue_seconds):
            if isinstance(event, Done):
                return event.response
        raise RuntimeError("a stream ended without Done")

    def answers(self, requests: Sequence[AnswerRequest], *, stop: Stop | None = None) -> list[AnswerResponse]:
        """Answer requests that differ in prompt, steering or decoding alone; cheaper than one after the other.

        The spans are prefilled once, one verdict holds for all, and everything is decoded as one batch. `usage` counts
        what had been run for all of them when a response was made. Observers are told no time to the first token:
        nobody was shown one. Raises what `stream` raises; what breaks one breaks all.

        Raises:
            InvalidRequest: there are none, or they differ in something else.
        """
        require_alike(requests)
        stop = stop or Stop()
        runs = [self._open(requests[0], stop)]
        try:
            for number, request in enumerate(requests[1:], 1):
                runs.append(self._beside(runs[0], request, number))
            return self._answers(runs)
        finally:
            runs[0].session.close()

    def stream(
        self,
        request: AnswerRequest | Prepared,
        *,
        stop: Stop | None = None,
        request_id: str = "",
        queue_seconds: float = 0.0,
        skip_evidence: str = "",
    ) -> Iterator[Event]:
        """Answer a request as it is decoded: Started, the verdict, deltas, Done.

        What `prepare` made of a request is not encoded again. `skip_evidence` says to people why the spans are not read
        alone: the verdict is UNDETERMINED, of status SKIPPED, and says so too.

        Raises:
            ValueError: evidence is to be skipped of a request that did not allow it (`Prepared.may_skip_evidence`).
            InvalidRequest, ModalityNotSupported: the request cannot be answered, with every violation found.
            ModelNotFound: it names another model.
            Cancelled, DeadlineExceeded: `stop` said so.
        """
        run = self._open(request, stop or Stop(), request_id, queue_seconds, skip_evidence)
        try:
            yield from self._answer(run)
        finally:
            run.session.close()

    def check(
        self,
        request: AnswerRequest | Prepared,
        *,
        stop: Stop | None = None,
        request_id: str = "",
        queue_seconds: float = 0.0,
        skip_evidence: str = "",
    ) -> CheckResponse:
        """The verdict and the contributions without the long answer; takes and raises what `stream` does."""
        run = self._open(request, stop or Stop(), request_id, queue_seconds, skip_evidence)
        if run.request.detail.toward_answer:
            run.warnings.append("detail.toward_answer: a check decodes no joint answer; the field is absent")
        try:
            alone = AloneReading(self.backend, run.valid.context, run.prompt)
            rebalanced = self._rebalance(run, alone, generates=False)
            if run.needs_alone:
                with run.steps.timed(Step.ALONE):
                    for token in run.session.decode(alone.branches, alone.decoding):
                        alone.take(token)
            verdict = self._judge.verdict(run, alone)
            response = CheckResponse(
                request_id=run.request_id,
                verdict=verdict,
                spans=run.reports(rebalanced, alone),
                imbalance=imbalance(rebalanced.before, rebalanced.after),
                usage=run.usage(),
                rebalancing=run.rebalancing(rebalanced),
                warnings=tuple(run.warnings),
                served_by=self.stamp,
            )
        finally:
            run.session.close()
        self._tell(run.event(response))
        return response

    def explain(self, request: AnswerRequest, *, stop: Stop | None = None) -> Explanation:
        """Answer, and hand out the numbers behind the reports, head by head; raises what `stream` raises.

        Raises:
            ModelRefused: its engine measures nothing.
        """
        if cannot := self.backend.lacks.get(Ability.MEASURE):
            raise ModelRefused(self.model, [f"there is nothing to explain it by: {cannot}"])
        wanted = replace(request, detail=replace(request.detail, toward_answer=True))
        run = self._open(wanted, stop or Stop())
        try:
            for event in self._answer(run):
                if isinstance(event, Done):
                    response = event.response
        finally:
            run.session.close()
        return run.explanation(response)

    def evidence(
        self, request: AnswerRequest, features: Sequence[str] | None = None, *, stop: Stop | None = None
    ) -> Evidence:
        """What a verdict would be estimated from, with the named features; None takes those the estimator uses.

        For fitting and for research. Raises what `stream` raises, and KeyError for an unknown feature.
        """
        run = self._open(request, stop or Stop())
        try:
            alone = AloneReading(self.backend, run.valid.context, run.prompt)
            run.session.prepare(alone.prepared)
            for token in run.session.decode(alone.branches, alone.decoding):
                alone.take(token)
            return self._judge.evidence(run, alone, None if features is None else tuple(features))
        finally:
            run.session.close()

    def judged(self, evidence: Evidence) -> ConflictVerdict:
        """The verdict on evidence that holds the features the model's estimator asks for; without quotes."""
        return self._judge.decided(evidence)

    def prepare(self, request: AnswerRequest, *, answers: bool = True) -> Prepared:
        """A request with its defaults settled, what the model reads of it, and what it will cost; nothing is run.

        `answers`: whether it is to be answered, or only checked, which costs less.

        Raises:
            InvalidRequest, ModalityNotSupported: it cannot be answered, with every violation found; for the reason
                `PROMPT_TOO_LONG` if the model's context does not hold it.
        """
        return prepare(
            request,
            backend=self.backend,
            registry=self.registry,
            model=self.model,
            profile=self._unnamed,
            limits=self.limits,
            features=self._judge.features,
            answers=answers,
        )

    def describe(self, model: str = "") -> ModelInfo:
        """What is served.

        Raises:
            ModelNotFound: `model` is another one.
        """
        if model and model != self.model:
            raise ModelNotFound(f"model: {quoted(model)} is not served here; served: {self.model}")
        return describe(
            self.backend, self.registry, limits=self.limits, calibration=self._judge.calibration, stamp=self.stamp
        )

    @property
    def stamp(self) -> Stamp:
        """What produces this guard's numbers."""
        backend = self.backend
        return Stamp(
            model=self.model,
            model_hash=backend.model_hash,
            engine=backend.engine,
            dtype=backend.dtype,
            profile=self.profile.name if self.profile else "",
            xmguard_version=__version__,
        )

    # -- the story ---------------------------------------------------------------------------------------------------

    def _open(
        self,
        request: AnswerRequest | Prepared,
        stop: Stop,
        request_id: str = "",
        queue_seconds: float = 0.0,
        skip_evidence: str = "",
    ) -> Run:
        """Steps 1 and 2: validate, encode, prefill."""
        started = time.monotonic()
        ready = request if isinstance(request, Prepared) else self.prepare(request)
        if skip_evidence and not ready.may_skip_evidence:
            raise ValueError("this request does not allow its evidence to be skipped")
        steps = Steps(*ready.steps)
        with steps.timed(Step.PREFILL):
            session = self.backend.open(ready.prompt, stop)
        run = Run(request_id, ready.valid, ready.prompt, session, stop, queue_seconds, started, skip_evidence)
        run.steps = steps
        run.warnings += ready.warnings
        return run

    def _beside(self, first: Run, request: AnswerRequest, number: int) -> Run:
        """The same on a context that is prefilled already."""
        ready = self.prepare(request)
        require_same_reading(first.prompt, ready.prompt)
        run = Run(first.request_id, ready.valid, ready.prompt, first.session, first.stop, 0.0, first.started)
        run.suffix = f":{number}"
        run.warnings += ready.warnings
        return run

    def _answer(self, run: Run) -> Iterator[Event]:
        """Steps 3 to 8."""
        alone = AloneReading(self.backend, run.valid.context, run.prompt)
        rebalanced = run.rebalanced = self._rebalance(run, alone, generates=True)
        yield Started(run.request_id, run.reports(rebalanced))

        branches, decoding = branches_of([run], alone)
        tokens = run.session.decode(branches, decoding)
        early: list[Token] = []
        if run.needs_alone:
            with run.steps.timed(Step.ALONE):
                early = alone.read(tokens)
                run.held = sum(token.branch == rebalanced.joint.name for token in early)
        verdict = self._judge.verdict(run, alone)
        yield verdict
        with run.steps.timed(Step.DECODE):
            for event in finish(run, alone, verdict, chain(early, tokens), self.backend, self.registry, self.stamp):
                if isinstance(event, Done):
                    self._tell(run.event(event.response))
                yield event

    def _answers(self, runs: Sequence[Run]) -> list[AnswerResponse]:
        """Steps 3 to 8 for requests that share a context."""
        first = runs[0]
        alone = AloneReading(self.backend, first.valid.context, first.prompt)
        prepared = alone.prepared if first.needs_alone else ()
        first.session.prepare([*(run.unbiased for run in runs), *prepared])
        for run in runs:
            run.rebalanced = self._rebalance(run, alone, generates=True)
        tokens = first.session.decode(*branches_of(runs, alone))
        early = alone.read(tokens) if first.needs_alone else []
        said = len(first.warnings)
        verdict = self._judge.verdict(first, alone)
        for run in runs[1:]:
            run.warnings += first.warnings[said:]
            run.beside += first.beside
        everything = [*early, *tokens]
        responses = []
        for run in runs:
            for event in finish(run, alone, verdict, iter(everything), self.backend, self.registry, self.stamp):
                if isinstance(event, Done):
                    self._tell(GuardEvent("answer", run.request, event.response, None))
                    responses.append(event.response)
        return responses

    def _rebalance(self, run: Run, alone: AloneReading, *, generates: bool) -> Rebalanced:
        """Steps 3 and 4: measure without bias, let the policy decide, measure again under its bias."""
        unbiased = run.unbiased
        cannot = self.backend.lacks.get(Ability.MEASURE)
        with run.steps.timed(Step.MEASURE):
            run.session.prepare([unbiased, *(alone.prepared if run.needs_alone else ())])
            before = None if cannot else run.session.measure(unbiased)
        if before is None:
            return Rebalanced(unbiased, unbiased, None, None, RebalancePlan(None, f"nothing can be measured: {cannot}"))
        with run.steps.timed(Step.REBALANCE):
            return self._steer(run, before, generates=generates)

    def _steer(self, run: Run, before: Measurement, *, generates: bool) -> Rebalanced:
        """Step 4."""
        unbiased, wanted = run.unbiased, run.request.rebalance
        plan = plan_bias(self.registry.policies.items[wanted.policy], before, wanted, self.profile)
        if plan.bias is None or plan.bias.is_zero:
            nothing = plan.reason if plan.bias is None else "the policy's bias is 0 everywhere, which changes nothing"
            return Rebalanced(unbiased, unbiased, before, before, RebalancePlan(None, nothing))
        if all(plan.bias.epsilon.get(span) == REMOVE for span in before.span_map.ids):
            run.warnings.append("every span is removed, so the answer is read from none of them")
        if plan.bias.scope is Scope.GENERATED and not generates:
            nothing = "scope GENERATED acts on generated tokens, and a check generates none"
            return Rebalanced(unbiased, unbiased, before, before, RebalancePlan(None, nothing))
        joint = Branch(f"joint{run.suffix}", run.prompt.joint_tail, plan.bias, measured=True, answers=True)
        return Rebalanced(unbiased, joint, before, run.session.measure(joint), plan)

    def _tell(self, event: GuardEvent) -> None:
        """Step 8. An observer that raises is counted and logged; the caller's answer is not its business."""
        for observer in self._observers:
            try:
                observer.observe(event)
            except Exception:  # an observer may raise anything
                with self._counting:
                    self.observer_failures[observer.name] += 1
                log.exception("observer %s failed", observer.name)
