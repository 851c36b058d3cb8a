"""What each kind of plugin must offer, as protocols.

Hooks (`xmguard.hookspecs`) run at start-up and return objects that satisfy these; hot code calls the objects, never
the hooks. Nothing here imports an engine: shapes are given in words, token ids are plain integers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from xmguard.abilities import Ability
from xmguard.bias import AttentionBias, RebalancePlan
from xmguard.context import Context, ContextSpan, EncodedPrompt, SpanMap
from xmguard.deadline import Stop
from xmguard.evidence import Estimate, Evidence, NormalizedAnswer
from xmguard.measurement import DirectedContribution, Measurement
from xmguard.parts import Part
from xmguard.profile import Profile
from xmguard.prompt_text import PromptText
from xmguard.request import AnswerRequest, Decoding, Prompt, Rebalance
from xmguard.response import AnswerResponse, CheckResponse
from xmguard.sizes import Sizes
from xmguard.steps import StepTime
from xmguard.usage import SessionUsage


@runtime_checkable
class Modality(Protocol):
    """Turns spans of one kind into parts an engine can encode."""

    name: str
    """Label of the modality in reports and metrics, for example `text`."""
    media_types: tuple[str, ...]
    """Media types it takes; empty for the text modality, which takes `Span.text`."""

    def parts(self, span: ContextSpan) -> Sequence[Part]:
        """The span's content, in order.

        Raises:
            InvalidRequest: if the content is not what its media type says; paths are relative to the span.
        """
        ...


@runtime_checkable
class Language(Protocol):
    """What the verdict must know of a language. Stateless."""

    tag: str
    """BCP-47 primary tag, for example `en`."""
    name: str
    function_words: Collection[str]
    """Words that carry no content of their own, folded as `xmguard.verdict.words.words` folds; empty if not known."""
    number_words: Mapping[str, str]
    """Folded words for whole numbers to their digits ("four" to `4`); empty if not known."""
    prompt_text: PromptText

    def normalize(self, answer: str) -> NormalizedAnswer:
        """Reduce a short answer to its claim: numbers, dates, yes/no, "not stated", or folded text."""

    def reports_conflict(self, answer: str) -> bool:
        """Whether an answer in this language says that its sources disagree."""

    def asks_for_number(self, question: str) -> bool:
        """Whether a question in this language asks for a number or a date ("how many", "when")."""

    def sentences(self, text: str) -> Sequence[tuple[int, int]]:
        """Half-open character ranges of the sentences, which tile the text."""


@runtime_checkable
class RebalancePolicy(Protocol):
    """Decides the bias from the measurement. Pure: same input, same plan."""

    name: str
    summary: str
    parameters: Mapping[str, str]
    """Parameter name to its meaning, unit and range; `GetModel` lists them, other keys are refused.

    A name that ends in `.SPAN` is given per span: `share.SPAN` documents `share.s1`, for the ids of the request's spans
    only, and `request.per_span("share")` reads it.
    """

    def plan(self, measurement: Measurement, request: Rebalance, profile: Profile | None) -> RebalancePlan:
        """Decide.

        Args:
            measurement: the reader rows without any bias.
            request: with policy, parameters and scope settled; the parameters are documented ones.
            profile: the served model's, if it has one. Its head factors belong on every bias; its policy and parameters
                are settled in `request` already.

        Raises:
            InvalidRequest: a parameter or bias is out of range; field paths start with `rebalance.`.
        """
        ...


class EvidenceReading(Protocol):
    """What a feature may look at, and what it may run. One request's; valid while the feature is measured."""

    @property
    def evidence(self) -> Evidence:
        """The answers of the spans alone and their likelihoods."""

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """The pairs to measure, ids in the order of the spans; of spans that say the same not all are compared."""

    @property
    def alone(self) -> Mapping[str, Branch]:
        """Span id to the branch that reads this span alone and is asked for a short answer."""

    @property
    def prompt(self) -> EncodedPrompt:
        """The request's prompt."""

    @property
    def session(self) -> Session:
        """Where branches are run; their names must not be those of another feature's branches."""

    @property
    def probed(self) -> Mapping[tuple[str, str], Sequence[float]]:
        """Logits of the model's pair probe for every pair: conflict, agreement, no answer; empty without a probe."""

    def tail(self, task: str, opening: str = "") -> tuple[int, ...]:
        """Token ids that ask something else of the context: `task` ends the message, `opening` begins the reply."""

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a plain text that continues a tail."""

    def language(self, tag: str) -> Language:
        """The plugin of a language, or that of the language answers are asked for in."""

    def content_words(self, text: str, language: str) -> Sequence[str]:
        """Folded words of a text that are no function words of its `language`."""

    def sentences(self, text: str, language: str) -> Sequence[tuple[int, int]]:
        """Half-open character ranges of the sentences of a text in `language`."""


@runtime_checkable
class EvidenceFeature(Protocol):
    """One number about a pair of spans, the same for (a, b) and (b, a). Stateless.

    What runs the model is a `xmguard.sizes.RunningFeature` too, so that its cost is known before it is admitted.
    A profile gives each of its features a weight; `xmguard calibrate` finds the weights.
    """

    name: str
    summary: str
    conflict: int
    """1 if a larger value can only speak for a conflict, -1 if only against one, 0 if that is for the fit to say."""
    comparable: int
    """The same for: both spans answer the question."""

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """The value of every pair of `reading.pairs` that has one; a missing value is left out, never NaN.

        An exception ends the check with status ERROR. Raises what `Stop.check` raises.
        """


@runtime_checkable
class VerdictEstimator(Protocol):
    """Turns evidence into probabilities of a conflict."""

    name: str
    summary: str
    features: Sequence[str]
    """Names of the features it needs measured."""

    def estimate(self, evidence: Evidence) -> Estimate:
        """Estimate. An exception is reported as verdict status ERROR, never as a decision."""


@dataclass(frozen=True)
class Branch:
    """One way of reading a context: what comes after it, and under which bias it is read."""

    name: str
    """Unique among the branches of a session."""
    tail: tuple[int, ...]
    bias: AttentionBias
    measured: bool = False
    """Whether its contributions are recorded, over the tail and over what it generates."""
    single_line: bool = False
    """Whether it ends at the first line break after something was said, as at an end-of-sequence token."""
    answers: bool = False
    """Whether it is the joint answer, which the model's answer adapter reads and says, if it has one.

    The adapter acts on the branch's tail, on what it generates and on what is scored after it; never on the context.
    """


@dataclass(frozen=True)
class Token:
    """One decoded token of one branch."""

    branch: str
    id: int
    logprob: float | None
    """Nats, under the branch's distribution at temperature 1; None where the engine is not told."""
    entropy: float | None
    """Nats over the vocabulary, same distribution; None without `Ability.ENTROPY`."""
    last: bool
    """Whether the branch ends here: at `is_end`, or at its token budget."""
    is_end: bool
    """Whether this token ends the text and is no part of it: end of sequence, or the line break of a single line."""


class Session(Protocol):
    """One request's context inside an engine. Not thread-safe; closed by its owner.

    What takes an ability that the backend lacks raises NotImplementedError.
    """

    def prepare(self, branches: Sequence[Branch]) -> None:
        """Run the tails of branches together, which is cheaper. A branch that is not prepared is when first used."""
        ...

    def measure(self, branch: Branch) -> Measurement:
        """Contributions over the reader rows of the branch's tail, under its bias."""
        ...

    def decode(self, branches: Sequence[Branch], decoding: Mapping[str, Decoding]) -> Iterator[Token]:
        """Decode the branches as one batch on the shared context; tokens come step by step, branch by branch.

        `decoding` maps branch names to their settings. Raises what `Stop.check` raises, between steps.
        """
        ...

    def generated(self, branch: Branch) -> Measurement:
        """Contributions over the tokens that `decode` has generated for the branch so far (`rows` may be 0)."""
        ...

    def score(self, pairs: Sequence[tuple[Branch, tuple[int, ...]]]) -> list[tuple[float, ...]]:
        """Log-probabilities (nats) of each token of a continuation of each branch, teacher-forced."""
        ...

    def probe(self, branches: Sequence[Branch]) -> list[tuple[float, ...]]:
        """Logits of the model's pair probe after each branch's tail: conflict, agreement, no answer.

        Raises:
            ValueError: the model has no probe, or the tails differ in length.
        """
        ...

    def directed(self, branch: Branch, answer: Sequence[int]) -> DirectedContribution:
        """Logits that each span adds to the tokens of an answer that follows the branch's tail; at least one.

        Raises:
            NotImplementedError: the engine does not tell; the message says why.
        """
        ...

    def recut(self, span_map: SpanMap) -> Session:
        """A session on the same prefilled context, read in the segments of another span map.

        It shares the cache, may outlive this one, counts its own usage, and is closed by its own owner.

        Raises:
            ValueError: `span_map` is of a context of another length.
        """
        ...

    def usage(self) -> SessionUsage:
        """What was run so far."""
        ...

    def close(self) -> None:
        """Free the caches."""
        ...


@dataclass(frozen=True)
class SelfCheck:
    """One thing a backend tried on its loaded model."""

    name: str
    passed: bool
    detail: str
    """What was measured, in words."""


class Backend(Protocol):
    """A loaded model inside an engine."""

    engine: str
    """For example `transformers`."""
    architecture: str
    dtype: str
    model_hash: str
    """SHA-256 of what answers: over the weight files and the adapters on them, hexadecimal; empty if nobody tells."""
    evidence_hash: str
    """SHA-256 of what the verdict is read from: `model_hash`, unless an adapter acts on the joint answer alone."""
    context_length: int
    """Tokens of prompt and answer together; 0 if nobody tells, and then what is too long is refused when it is read."""
    lacks: Mapping[Ability, str]
    """What it cannot do, each with the reason for people; empty for an engine that sees into its model."""
    modalities: tuple[str, ...]
    """Modalities whose parts it encodes: `text`, and `image` for a model that reads pictures."""
    concurrency: int
    """Sessions that may be open at once, each on a thread of its own."""
    agrees_with: tuple[str, ...]
    """Other engines whose numbers are its own, so that what was fitted for them in this dtype holds for it."""
    failure: str
    """Why it can run nothing any more; empty while it can."""

    def encode(self, context: Context, prompt: Prompt) -> EncodedPrompt:
        """Tokens of the prompt and where each span landed.

        Raises:
            InvalidRequest: a span cannot be encoded.
            ModalityNotSupported: a span holds what the model does not read.
        """
        ...

    def tail(self, task: str, opening: str = "") -> tuple[int, ...]:
        """Token ids that ask something of a context: `task` ends the message, `opening` begins the reply."""
        ...

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a plain text, control tokens spelled out."""
        ...

    def sizes(self, prompt: EncodedPrompt) -> Sizes:
        """What readings of the prompt take at most; nothing is run."""
        ...

    def open(self, prompt: EncodedPrompt, stop: Stop) -> Session:
        """Prefill the context once and keep its cache."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """Token ids to text, special tokens left out."""
        ...

    def self_test(self) -> Sequence[SelfCheck]:
        """Check on the loaded model that a bias does exactly what it says."""
        ...

    def close(self) -> None:
        """Free the model; what still runs on it fails."""
        ...


@runtime_checkable
class ModelSource(Protocol):
    """A model that xmguard can put on this machine by name."""

    name: str
    summary: str
    license: str
    requires: str
    """The extra that `pull` needs."""
    modalities: tuple[str, ...]
    """Modalities that it reads, as `Backend.modalities`."""
    profile: Path | None
    """Folder with the profile that comes with it; None if the model's own folder holds what there is."""

    def path(self) -> Path | None:
        """Folder of the converted model, or None while it has not been pulled."""
        ...

    def pull(self, progress: Callable[[str], None] = ...) -> Path:
        """Fetch and convert it into the cache unless it is there; `progress` hears each step. Returns the folder."""
        ...


@dataclass(frozen=True)
class GuardEvent:
    """One finished request, as observers see it. Holds no prompt text unless the observer reads the request."""

    method: str
    """`answer` or `check`."""
    request: AnswerRequest
    response: AnswerResponse | CheckResponse
    first_token_seconds: float | None
    """From the start of the work to the first delta; None when there was none."""
    token_gaps: tuple[float, ...] = ()
    """Seconds from each token of the joint answer to the next, as they were shown. Those that were decoded before the
    verdict are shown at once, so that there is no gap between them."""
    steps: tuple[StepTime, ...] = ()
    """What was done for it, and how long each took; none of a request that was answered together with others."""
    cost: int | None = None
    """Tokens that it was admitted with, of which `response.usage.tokens` were run; None where nothing admits."""


@runtime_checkable
class Observer(Protocol):
    """Sees every finished request, on its thread. What it raises is counted and logged; it never reaches the caller."""

    name: str

    def observe(self, event: GuardEvent) -> None:
        """Look at one finished request."""
