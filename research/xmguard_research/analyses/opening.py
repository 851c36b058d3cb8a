"""Opens a case in a guard's model, without verdict and without profile: what is analysed is the model.

All branches of a case are read on one prefilled context. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256

from xmguard import AnswerRequest, Decoding, Guard, Prompt, Rebalance
from xmguard.bias import AttentionBias
from xmguard.context import Context, EncodedPrompt
from xmguard.contracts import Branch, Session
from xmguard.deadline import Stop
from xmguard.errors import InvalidRequest
from xmguard.language_tags import asked_in
from xmguard.parts import TEXT
from xmguard.plugins import Registry
from xmguard.prompt_text import QUESTION
from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.protocol import FIGURE_5, PROMPTS
from xmguard_research.benchmarks.settings import TOKENS


@dataclass(frozen=True)
class Asking:
    """How every case of an analysis is asked."""

    prompt: str = "standard"
    """Of `PROMPTS`; or `FIGURE_5`, which is Explicit where modalities meet, and Standard for the others."""
    tokens: int = TOKENS

    def __post_init__(self) -> None:
        if self.prompt not in (*PROMPTS, FIGURE_5):
            known = ", ".join((*PROMPTS, FIGURE_5))
            raise InvalidRequest.field("prompt", f"{self.prompt!r} is not one of {known}")

    def prompt_of(self, case: Case) -> Prompt:
        """The prompt that this case is asked with."""
        if self.prompt != FIGURE_5:
            return PROMPTS[self.prompt]
        return Prompt.EXPLICIT if case.crosses_modalities else Prompt.STANDARD

    def key(self, case: Case) -> str:
        """Identifies what was asked: a case of the same name with another text is another one."""
        told = sha256("\0".join((case.question, *case.answers)).encode())
        for span in case.spans:
            told.update(b"\0" + (span.text or "").encode() + (b"" if span.media is None else span.media.data))
        return f"{case.id}#{told.hexdigest()[:8]}|{self.prompt_of(case).name.lower()}|{self.tokens}"


@dataclass(frozen=True)
class Opened:
    """A case on its prefilled context."""

    context: Context
    prompt: EncodedPrompt
    session: Session
    joint: Branch
    """Reads without bias; measured."""


@contextmanager
def opened(guard: Guard, case: Case, asking: Asking) -> Iterator[Opened]:
    """Prefill a case; the session is closed at the end of the block.

    Raises:
        InvalidRequest: the model cannot be asked this, or its context does not hold it; the case is named.
    """
    request = AnswerRequest(
        spans=case.spans,
        question=case.question,
        prompt=asking.prompt_of(case),
        rebalance=Rebalance("none"),
        decoding=Decoding(max_tokens=asking.tokens),
    )
    try:
        ready = guard.prepare(request)
        valid, prompt = ready.valid, ready.prompt
    except InvalidRequest as error:
        named = [replace(one, field=f"{case.id}: {one.field}") for one in error.violations]
        raise InvalidRequest(named, reason=error.reason) from error
    session = guard.backend.open(prompt, Stop())
    try:
        joint = Branch("joint", prompt.joint_tail, AttentionBias(), measured=True, answers=True)
        yield Opened(valid.context, prompt, session, joint)
    finally:
        session.close()


def asked(guard: Guard, case: Case, asking: Asking) -> str:
    """The question as the model is asked it, for a judge."""
    return put(guard.registry, case.question, asking.prompt_of(case))


def put(registry: Registry, question: str, prompt: Prompt) -> str:
    """A question in the words of a prompt, in the language that a guard asks it in."""
    said = registry.languages.items[asked_in(question, registry)].prompt_text
    return said.tasks[prompt].replace(QUESTION, question).strip()


def pairs(cases: Sequence[Case]) -> list[Case]:
    """The cases, all of two sources.

    Raises:
        InvalidRequest: there are none, or one has another number of sources.
    """
    if not cases:
        raise InvalidRequest.field("suite", "holds no case; give other options")
    if wrong := [case.id for case in cases if len(case.spans) != 2]:
        raise InvalidRequest.field("suite", f"{wrong[0]} has not two sources, which is what is analysed")
    return list(cases)


def labels(context: Context) -> list[str]:
    """What sets the spans apart: their modalities, or where these are one and the same, their languages."""
    modalities = [span.modality for span in context.spans]
    if len(set(modalities)) > 1 or modalities[0] != TEXT:
        return modalities
    return [span.language for span in context.spans]
