"""A request that is validated and encoded, so that what it costs is known and nothing of that is done twice.

Runs no model. Preparing takes a tokenizer's time; the cost is worked out only when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from xmguard.abilities import Ability, absences
from xmguard.alone import MAX_ANSWER_TOKENS, span_sentences
from xmguard.context import EncodedPrompt
from xmguard.contracts import Backend, EvidenceFeature
from xmguard.cost import evidence_cost, joint_cost
from xmguard.errors import InvalidRequest, Reason
from xmguard.featuring import orders_probed
from xmguard.language_tags import language_warnings
from xmguard.plugins import Registry
from xmguard.profile import Profile
from xmguard.request import AnswerRequest, OnError
from xmguard.response import Limits
from xmguard.sizes import FeatureSizes, ReachingFeature
from xmguard.steps import Step, Steps, StepTime
from xmguard.validation import ValidRequest, validate


@dataclass(frozen=True)
class Prepared:
    """A request that only has to be run."""

    valid: ValidRequest
    prompt: EncodedPrompt
    answers: bool
    """Whether it is to be answered, or only checked."""
    backend: Backend
    registry: Registry
    features: Sequence[EvidenceFeature]
    """That the verdict is estimated from."""
    steps: tuple[StepTime, ...] = ()
    """What was done already."""

    @property
    def may_skip_evidence(self) -> bool:
        """Whether it can be served without its evidence: it said ON_ERROR_OPEN, and asked for no part of it."""
        request = self.valid.request
        return request.on_error is OnError.OPEN and not request.detail.alone_answers

    @property
    def warnings(self) -> list[str]:
        """What is to be said of it before anything is read."""
        lost = ", ".join(self.prompt.unreadable)
        unseen = f"{lost}: the model's tokenizer has no token for some characters; the model does not see them"
        absent = [f"engine {self.backend.engine}: {one}" for one in absences(self.backend.lacks)]
        return [*([unseen] if lost else []), *language_warnings(self.valid.context, self.registry), *absent]

    @property
    def cost(self) -> int:
        """Tokens that will be run for it at most."""
        return self.cost_without_evidence + self._evidence

    @cached_property
    def cost_without_evidence(self) -> int:
        """The same when no span is read alone."""
        length = self.backend.context_length
        room = max(1, length - len(self.prompt.context_ids) - len(self.prompt.joint_tail)) if length else 0
        sizes = self.backend.sizes(self.prompt)
        return joint_cost(sizes, self.valid.request, self.backend.lacks, answers=self.answers, room=room)

    @cached_property
    def longest_tail(self) -> int:
        """Tokens after the context that its longest reading takes at most, whatever is said after it left out."""
        tails = [len(tail) for tail in (self.prompt.joint_tail, self.prompt.alone_tail, self.prompt.probe_tail)]
        if len(self.valid.context.spans) > 1:
            tails += [one.reach(self._asked) for one in self.features if isinstance(one, ReachingFeature)]
        return max(tails)

    @cached_property
    def _asked(self) -> FeatureSizes:
        """What features may run on."""
        return FeatureSizes(
            self.backend.sizes(self.prompt),
            self.valid.context.question,
            MAX_ANSWER_TOKENS,
            orders_probed(self.prompt),
            tail=lambda task: len(self.backend.tail(task)),
            ids=self.backend.ids,
        )

    @cached_property
    def _evidence(self) -> int:
        spans = self.valid.context.spans
        if len(spans) < 2 and not self.valid.request.detail.alone_answers:
            return 0
        scored = Ability.SCORE not in self.backend.lacks
        sentences = [
            len(span_sentences(self.registry, span.span.text or "", span.language)) if scored else 0 for span in spans
        ]
        return evidence_cost(self._asked, self.backend.lacks, self.features, sentences, judged=len(spans) > 1)


def prepare(
    request: AnswerRequest,
    *,
    backend: Backend,
    registry: Registry,
    model: str,
    profile: Profile,
    limits: Limits,
    features: Sequence[EvidenceFeature],
    answers: bool,
) -> Prepared:
    """Validate and encode a request; what `xmguard.guard.Guard.prepare` raises."""
    steps = Steps()
    with steps.timed(Step.ENCODE):
        valid = validate(
            request,
            model=model,
            profile=profile,
            limits=limits,
            registry=registry,
            unsteerable=backend.lacks.get(Ability.STEER, ""),
        )
        prompt = backend.encode(valid.context, valid.request.prompt)
    ready = Prepared(valid, prompt, answers, backend, registry, features, steps.taken)
    length = len(prompt.context_ids) + ready.longest_tail
    if length > limits.max_prompt_tokens > 0:
        raise InvalidRequest.field(
            "question" if ready.longest_tail > len(prompt.context_ids) else "spans",
            f"the prompt takes {length} tokens; the model's context holds {backend.context_length}, "
            "the answer included; send less text",
            reason=Reason.PROMPT_TOO_LONG,
        )
    return ready
