"""What one Answer does, from spans and a question to a verdict and an answer. Reads top to bottom.

Knows no engine, no transport and no policy by name: it puts together what the registry and the backend offer. Runs in
the caller's thread, one request at a time; a server queues.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from xmguard import __version__
from xmguard.alone import AloneReading, answer_language
from xmguard.bias import REMOVE, AttentionBias, RebalancePlan
from xmguard.contracts import Backend, Branch, GuardEvent, Observer, Token
from xmguard.deadline import Stop
from xmguard.errors import InvalidRequest, ModelNotFound, Reason
from xmguard.evidence import AnswerKind, Evidence
from xmguard.explanation import Explanation
from xmguard.judging import Judge
from xmguard.language_tags import language_warnings
from xmguard.parts import readable
from xmguard.planning import check_profile, plan_bias
from xmguard.plugins import Registry
from xmguard.profile import Profile
from xmguard.reports import imbalance
from xmguard.request import AnswerRequest, Decoding, OnConflict, OnError, Prompt, Scope
from xmguard.response import (
    AnswerResponse,
    CheckResponse,
    ConflictVerdict,
    Decision,
    Done,
    Event,
    FinishReason,
    Limits,
    ModelInfo,
    PolicyInfo,
    Stamp,
    Started,
    Status,
)
from xmguard.run import Rebalanced, Run
from xmguard.text_stream import TextStream
from xmguard.validation import validate
from xmguard.verdict.composition import abstention, closed, preface

log = logging.getLogger(__name__)

UNPROFILED = Profile("", "none")
"""What a request gets that names no policy from a model without a profile: nobody has measured a bias for it."""
_JOINT_BRANCHES = ("joint", "unbiased")


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
        self.limits = Limits(max_prompt_tokens=backend.context_length - 1)
        self.observer_failures: Counter[str] = Counter()
        """How often each observer raised."""
        self._observers = (*registry.observers, *observers)
        self._judge = Judge(backend, registry, profile)

    # -- the three calls ---------------------------------------------------------------------------------------------

    def answer(
        self, request: AnswerRequest, *, stop: Stop | None = None, request_id: str = "", queue_seconds: float = 0.0
    ) -> AnswerResponse:
        """Answer a request; raises what `stream` raises."""
        for event in self.stream(request, stop=stop, request_id=request_id, queue_seconds=queue_seconds):
            if isinstance(event, Done):
                return event.response
        raise RuntimeError("a stream ended without Done")

    def stream(
        self, request: AnswerRequest, *, stop: Stop | None = None, request_id: str = "", queue_seconds: float = 0.0
    ) -> Iterator[Event]:
        """Answer a request as it is decoded: Started, the verdict, deltas, Done.

        Raises:
            InvalidRequest, ModalityNotSupported: the request cannot be answered, with every violation found.
            ModelNotFound: it names another model.
            Cancelled, DeadlineExceeded: `stop` said so.
        """
        run = self._open(request, stop or Stop(), request_id, queue_seconds)
        try:
            yield from self._answer(run)
        finally:
            run.session.close()

    def check(
        self, request: AnswerRequest, *, stop: Stop | None = None, request_id: str = "", queue_seconds: float = 0.0
    ) -> CheckResponse:
        """The verdict and the contributions without the long answer; raises what `stream` raises."""
        run = self._open(request, stop or Stop(), request_id, queue_seconds)
        if run.request.detail.toward_answer:
            run.warnings.append("detail.toward_answer: a check decodes no joint answer; the field is absent")
        try:
            alone = AloneReading(self.backend, run.valid.context, run.prompt)
            rebalanced = self._rebalance(run, alone, generates=False)
            if run.needs_alone:
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
        self._tell(GuardEvent("check", run.request, response, None))
        return response

    def explain(self, request: AnswerRequest, *, stop: Stop | None = None) -> Explanation:
        """Answer, and hand out the numbers behind the reports, head by head; raises what `stream` raises."""
        wanted = replace(request, detail=replace(request.detail, toward_answer=True))
        run = self._open(wanted, stop or Stop(), "", 0.0)
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
        run = self._open(request, stop or Stop(), "", 0.0)
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

    def describe(self, model: str = "") -> ModelInfo:
        """What is served.

        Raises:
            ModelNotFound: `model` is another one.
        """
        if model and model != self.model:
            raise ModelNotFound(f"model: {model!r} is not served here; served: {self.model}")
        registry = self.registry
        return ModelInfo(
            model=self.model,
            engine=self.backend.engine,
            architecture=self.backend.architecture,
            version=__version__,
            plugins=registry.plugins,
            modalities=readable(registry.modalities.names(), self.backend.modalities),
            languages=registry.languages.names(),
            policies=tuple(PolicyInfo(p.name, p.summary, dict(p.parameters)) for p in registry.policies),
            limits=self.limits,
            profile=self.stamp.profile,
            calibration=self._judge.calibration,
            stamp=self.stamp,
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

    def _open(self, request: AnswerRequest, stop: Stop, request_id: str, queue_seconds: float) -> Run:
        """Steps 1 and 2: validate, encode, prefill."""
        started = time.monotonic()
        valid = validate(request, model=self.model, profile=self._unnamed, limits=self.limits, registry=self.registry)
        prompt = self.backend.encode(valid.context, valid.request.prompt)
        tail = max(map(len, (prompt.joint_tail, prompt.alone_tail, prompt.probe_tail)))
        length = len(prompt.context_ids) + tail
        if length > self.limits.max_prompt_tokens:
            raise InvalidRequest.field(
                "question" if tail > len(prompt.context_ids) else "spans",
                f"the prompt takes {length} tokens; the model's context holds {self.backend.context_length}, "
                "the answer included; send less text",
                reason=Reason.PROMPT_TOO_LONG,
            )
        run = Run(request_id, valid, prompt, self.backend.open(prompt, stop), stop, queue_seconds, started)
        if prompt.unreadable:
            run.warnings.append(
                f"{', '.join(prompt.unreadable)}: the model's tokenizer has no token for some characters; "
                "the model does not see them"
            )
        run.warnings += language_warnings(valid.context, self.registry)
        return run

    def _answer(self, run: Run) -> Iterator[Event]:
        """Steps 3 to 8."""
        alone = AloneReading(self.backend, run.valid.context, run.prompt)
        rebalanced = run.rebalanced = self._rebalance(run, alone, generates=True)
        yield Started(run.request_id, run.reports(rebalanced))

        branches, decoding = self._branches(run, rebalanced, alone)
        tokens = run.session.decode(branches, decoding)
        early = self._until_alone_answers(tokens, alone) if run.needs_alone else []
        verdict = self._judge.verdict(run, alone)
        yield verdict

        finish = self._withheld(run, verdict)
        if finish is not None and run.request.detail.unbiased_answer:
            run.warnings.append("unbiased_answer is withheld together with the answer")
        raw = unbiased = ""
        if finish is FinishReason.ABSTAINED:
            shown = abstention(verdict, run.valid.context.spans)
            yield run.delta(shown)
        elif finish is FinishReason.CLOSED:
            shown = closed(verdict)
            yield run.delta(shown)
        else:
            shown = ""
            if verdict.decision is Decision.CONFLICT and run.request.on_conflict is OnConflict.REPORT:
                shown = preface(verdict, run.valid.context.spans) + "\n\n"
                yield run.delta(shown)
            words = {
                branch.name: TextStream(self.backend.text) for branch in branches if branch.name in _JOINT_BRANCHES
            }
            finish = FinishReason.LENGTH
            for token in chain(early, tokens):
                text = words[token.branch].push(token)
                if token.branch == rebalanced.joint.name:
                    run.said.append(token)
                    finish = FinishReason.STOP if token.is_end else finish
                    if text:
                        yield run.delta(text)
            raw = words[rebalanced.joint.name].text
            shown += raw
            if run.request.detail.unbiased_answer:
                unbiased = words[rebalanced.unbiased.name].text
            if finish is FinishReason.STOP:  # of an answer that was cut nothing is known
                verdict = replace(verdict, model_reported=self._reported(run, raw))

        if raw:
            run.generated = run.session.generated(rebalanced.joint)
        if run.request.detail.toward_answer:
            self._direct(run, rebalanced.joint)
        response = AnswerResponse(
            request_id=run.request_id,
            answer=shown,
            raw_answer=raw,
            verdict=verdict,
            spans=run.reports(rebalanced, alone),
            imbalance=imbalance(rebalanced.before, rebalanced.after),
            rebalancing=run.rebalancing(rebalanced),
            usage=run.usage(),
            warnings=tuple(run.warnings),
            unbiased_answer=unbiased,
            finish_reason=finish,
            served_by=self.stamp,
        )
        self._tell(GuardEvent("answer", run.request, response, run.first_token_seconds))
        yield Done(response)

    def _rebalance(self, run: Run, alone: AloneReading, *, generates: bool) -> Rebalanced:
        """Steps 3 and 4: measure without bias, let the policy decide, measure again under its bias."""
        unbiased = Branch("unbiased", run.prompt.joint_tail, AttentionBias(), measured=True)
        run.session.prepare([unbiased, *(alone.prepared if run.needs_alone else ())])
        before = run.session.measure(unbiased)
        wanted = run.request.rebalance
        plan = plan_bias(self.registry.policies.items[wanted.policy], before, wanted, self.profile)
        if plan.bias is None or plan.bias.is_zero:
            nothing = plan.reason if plan.bias is None else "the policy's bias is 0 everywhere, which changes nothing"
            return Rebalanced(unbiased, unbiased, before, before, RebalancePlan(None, nothing))
        if all(plan.bias.epsilon.get(span) == REMOVE for span in before.span_map.ids):
            run.warnings.append("every span is removed, so the answer is read from none of them")
        if plan.bias.scope is Scope.GENERATED and not generates:
            nothing = "scope GENERATED acts on generated tokens, and a check generates none"
            return Rebalanced(unbiased, unbiased, before, before, RebalancePlan(None, nothing))
        joint = Branch("joint", run.prompt.joint_tail, plan.bias, measured=True)
        return Rebalanced(unbiased, joint, before, run.session.measure(joint), plan)

    def _branches(
        self, run: Run, rebalanced: Rebalanced, alone: AloneReading
    ) -> tuple[list[Branch], dict[str, Decoding]]:
        """Step 5: what is decoded as one batch."""
        branches = [rebalanced.joint]
        if run.request.detail.unbiased_answer and rebalanced.applied:
            branches.append(rebalanced.unbiased)
        decoding = {branch.name: run.request.decoding for branch in branches}
        if run.needs_alone:
            branches += alone.branches
            decoding |= alone.decoding
        return branches, decoding

    @staticmethod
    def _direct(run: Run, joint: Branch) -> None:
        """The contributions toward the answer, or a warning why there are none."""
        answer = [token.id for token in run.said if not token.is_end]
        if answer:
            run.directed = run.session.directed(joint, answer)
        else:
            run.warnings.append("detail.toward_answer: there is no answer to point to; the field is absent")

    @staticmethod
    def _until_alone_answers(tokens: Iterator[Token], alone: AloneReading) -> list[Token]:
        """Decode until every span has answered; the joint answer's tokens so far are kept for after the verdict."""
        early = []
        while not alone.finished:
            token = next(tokens)
            if not alone.take(token):
                early.append(token)
        return early

    @staticmethod
    def _withheld(run: Run, verdict: ConflictVerdict) -> FinishReason | None:
        """Why the model's words are not shown, or None."""
        if verdict.decision is Decision.CONFLICT and run.request.on_conflict is OnConflict.ABSTAIN:
            return FinishReason.ABSTAINED
        established = verdict.status is Status.OK and verdict.decision is not Decision.UNDETERMINED
        if not established and run.request.on_error is OnError.CLOSED:
            return FinishReason.CLOSED
        return None

    def _reported(self, run: Run, raw: str) -> bool | None:
        """Whether the joint answer itself says that the sources disagree; None, with a warning, if that failed."""
        context = run.valid.context
        languages = [answer_language(self.registry, span.language, context.asked_in) for span in context.spans]
        languages.append(self.registry.languages.items[context.asked_in])
        try:
            reported = any(language.reports_conflict(raw) for language in languages)
            if run.request.prompt is Prompt.EXPLICIT:  # asked whether the answers would be the same; "no" reports it
                first = re.split(r"[.,;:!\n]", raw, maxsplit=1)[0]
                claim = languages[-1].normalize(first)
                reported = reported or (claim.kind is AnswerKind.BOOLEAN and claim.value == "no")
        except Exception:  # a language plugin may raise anything; the answer is finished and stays
            log.exception("reading the answer of request %s failed", run.request_id)
            run.warnings.append("verdict.model_reported: a language plugin failed; the server's log says where")
            return None
        return reported

    def _tell(self, event: GuardEvent) -> None:
        """Step 8. An observer that raises is counted and logged; the caller's answer is not its business."""
        for observer in self._observers:
            try:
                observer.observe(event)
            except Exception:  # an observer may raise anything
                self.observer_failures[observer.name] += 1
                log.exception("observer %s failed", observer.name)
