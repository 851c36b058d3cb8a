"""What the span-alone branches showed: the material from which a verdict is estimated.

Pure values; the estimators in `xmguard.verdict` and in plugins turn them into probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from xmguard.context import ENGLISH
from xmguard.parts import TEXT


class AnswerKind(Enum):
    """What sort of thing an answer is once it is normalised."""

    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    BOOLEAN = "boolean"
    TEXT = "text"
    NONE = "none"
    """The answer says that it does not know, or is empty."""


@dataclass(frozen=True)
class NormalizedAnswer:
    """An answer reduced to what it claims, comparable across scripts and languages.

    Two answers of the same kind (and not TEXT) make the same claim when value and unit are equal and nothing else they
    say sets them apart. A plugin that cannot tell what else an answer says leaves `words` and `quantities` empty.
    """

    kind: AnswerKind
    value: str
    """Canonical form: `25`, `2021-03-03`, `20:15`, `yes`; for TEXT the folded words with spaces; empty for NONE."""
    unit: str = ""
    """Canonical unit of a NUMBER: `%`, `usd`, `km`; of a TIME `am` or `pm`; empty when none was named."""
    words: frozenset[str] = frozenset()
    """Folded words beside the claim that say what it is about ("men" in "25% of men"); empty for TEXT and NONE."""
    quantities: tuple[str, ...] = ()
    """Other quantities named beside the claim, in canonical form and sorted: `2021` in "25% in 2021"."""


@dataclass(frozen=True)
class SpanEvidence:
    """What the model answers from one span alone, and how likely it finds that answer elsewhere."""

    span_id: str
    language: str
    answer: str
    normalized: NormalizedAnswer
    entropy: float | None
    """Nats over the vocabulary at the answer's first content token, this span read alone; None when it has none."""
    own: tuple[float, ...]
    """Log-probability (nats) of each token of `answer` under this span alone."""
    under: Mapping[str, tuple[float, ...]]
    """Span id of another span to the log-probabilities of the same tokens under that span alone.

    Holds the spans that were scored: of the spans that say the same, only one is scored under all the others.
    """
    prior: tuple[float, ...]
    """The same with every span removed: what the model would say unread."""
    tokens: tuple[str, ...] = ()
    """Text of each token of `answer`."""
    text: str = ""
    """The span's own text; empty where its content is media."""
    modality: str = TEXT
    """Name of the modality that encodes the span."""


@dataclass(frozen=True)
class Evidence:
    """Everything an estimator may look at. It never holds the joint answer: the verdict does not depend on it."""

    question: str
    spans: tuple[SpanEvidence, ...]
    features: Mapping[str, Mapping[tuple[str, str], float]] = field(default_factory=dict)
    """Name of a feature to its values, by the ids of a pair in the order of the spans; a value that is missing is not
    there. Holds the features that the estimator asked for."""
    asked_in: str = ENGLISH
    """BCP-47 tag of the language the question was put in."""
    question_language: str = ENGLISH
    """BCP-47 tag of the language that the question itself is clearly in."""


@dataclass(frozen=True)
class PairEstimate:
    """How likely two spans contradict each other about the question."""

    span_a: str
    span_b: str
    probability: float
    comparable: float = 1.0
    """How likely both spans answer the question, without which there is nothing to contradict."""


@dataclass(frozen=True)
class Bounds:
    """Where a decision changes. All are probabilities."""

    conflict_above: float = 0.5
    """CONFLICT takes more than this."""
    agreement_below: float = 0.35
    """Agreement takes less than this (and less than the bound of a conflict): in between is too close to call."""
    comparable_above: float = 0.5
    """A pair counts only if both spans answer the question with at least this probability."""

    def __post_init__(self) -> None:
        for name in ("conflict_above", "agreement_below", "comparable_above"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:  # also false for NaN
                raise ValueError(f"{name} {value} is not within [0, 1]")


@dataclass(frozen=True)
class Estimate:
    """An estimator's reading of the evidence."""

    pairs: tuple[PairEstimate, ...]
    """Every pair that could be compared."""
    undetermined: str = ""
    """Why nothing can be said although the check ran ("no span answers the question"); empty when it can."""
    bounds: Bounds = Bounds()
    answers_checked: bool = False
    """Whether `PairEstimate.comparable` was estimated of every pair: without it, agreement needs other grounds."""
    calibrated: bool = False
    """Whether a profile fitted for this model, engine and dtype produced the probabilities, and was fitted to pairs of
    such languages and modalities, with such a question."""
