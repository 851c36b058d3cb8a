"""The request side of the contract as frozen values, field for field as in protos/xmguard/v1/guard.proto.

Plain data: nothing here is checked. `xmguard.validation` decides what is acceptable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from xmguard.span import Span

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""What a caller may call a request; others could forge log lines or break headers."""


class Prompt(IntEnum):
    """How the question is put (paper, sections 2 and D). UNSPECIFIED means STANDARD."""

    UNSPECIFIED = 0
    STANDARD = 1
    """The sources and the question, nothing else."""
    INSTRUCTED = 2
    """STANDARD plus the request to report a contradiction."""
    EXPLICIT = 3
    """The question becomes: would the sources give the same answer to it?"""


class OnConflict(IntEnum):
    """What the answer is when the verdict is CONFLICT. UNSPECIFIED means REPORT."""

    UNSPECIFIED = 0
    REPORT = 1
    """Say first that the sources disagree and what each says, then the model's words."""
    ABSTAIN = 2
    """Say that the sources disagree, and answer nothing."""
    PLAIN = 3
    """The model's own words only."""


class OnError(IntEnum):
    """What the answer may be when no verdict could be established. UNSPECIFIED means CLOSED."""

    UNSPECIFIED = 0
    CLOSED = 1
    """Say so instead of answering."""
    OPEN = 2
    """Answer all the same; the verdict still says that nothing was established."""


class Scope(IntEnum):
    """Which query positions read with the bias. UNSPECIFIED means READERS."""

    UNSPECIFIED = 0
    READERS = 1
    """Every position after the last span: the question's tail and every generated token."""
    ALL = 2
    """Every position after the span itself; the context is prefilled again under the bias."""
    GENERATED = 3
    """Generated tokens only."""


PER_SPAN = ".SPAN"
"""How the documented name of a parameter ends that is given per span: `share.SPAN` is sent as `share.s1`."""


@dataclass(frozen=True)
class Rebalance:
    """Which policy steers attention, and how."""

    policy: str = ""
    """A policy's name; empty means the served model's profile, `none` measures only."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """The policy's own parameters; unknown keys are refused."""
    bias: Mapping[str, float] = field(default_factory=dict)
    """Policy `fixed`: span id to epsilon in nats, from minus infinity (removes the span) to +20."""
    scope: Scope = Scope.UNSPECIFIED

    def per_span(self, name: str) -> dict[str, float]:
        """The values of a parameter that is given per span, by span id: `share.s1` is `s1` of `share`."""
        start = f"{name}."
        return {key.removeprefix(start): value for key, value in self.parameters.items() if key.startswith(start)}


@dataclass(frozen=True)
class Decoding:
    """How the answer is decoded."""

    max_tokens: int = 0
    """At most this many new tokens; 0 means the default."""
    temperature: float = 0.0
    """0 is greedy."""
    seed: int | None = None
    """Makes sampling repeatable."""


@dataclass(frozen=True)
class Detail:
    """What else to report."""

    layers: bool = False
    alone_answers: bool = False
    unbiased_answer: bool = False
    toward_answer: bool = False


@dataclass(frozen=True)
class AnswerRequest:
    """One question over several spans."""

    model: str = ""
    spans: tuple[Span, ...] = ()
    question: str = ""
    prompt: Prompt = Prompt.UNSPECIFIED
    rebalance: Rebalance = field(default_factory=Rebalance)
    on_conflict: OnConflict = OnConflict.UNSPECIFIED
    decoding: Decoding = field(default_factory=Decoding)
    detail: Detail = field(default_factory=Detail)
    on_error: OnError = OnError.UNSPECIFIED
    conflict_threshold: float | None = None
    """Probability above which the decision is CONFLICT; absent means the profile's."""
