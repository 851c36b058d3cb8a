"""What is judged and what a judge says of it: does a response say that its sources contradict each other?

Values only. Knows no prompt, no endpoint and no benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Status(Enum):
    """What came of asking a judge."""

    PARSED = "parsed"
    MALFORMED = "malformed"
    """The judge replied, but not in the form it was asked for."""
    ERROR = "error"
    """There was no reply."""


@dataclass(frozen=True)
class Source:
    """What one source of an exchange holds; either may be empty."""

    name: str
    """What it is called in front of a judge, for example `Paragraph 1`."""
    passage: str = ""
    answer: str = ""
    """Its own answer to the question."""


@dataclass(frozen=True)
class Exchange:
    """A question and what a model responded to it."""

    question: str
    """As the model was asked it: under the Explicit prompt, whether the sources answer alike."""
    response: str
    """The model's own text, never one that xmguard composed."""
    sources: tuple[Source, ...] = ()
    """Empty when a judge is to see no more than the paper's does."""


@dataclass(frozen=True)
class Judgement:
    """A judge's word on one exchange. What is no word is counted as such, never as a no."""

    status: Status
    mentions_conflict: bool | None
    """Whether the response says that its sources contradict each other; None unless PARSED."""
    reason: str = ""
    """Why it is MALFORMED or an ERROR, or the words that a rule went by."""
    reply: str = ""
    """The judge's last reply, whole; empty where there was none, or none in words."""
    attempts: int = 1
    """How often the judge was asked."""

    def __post_init__(self) -> None:
        if (self.mentions_conflict is None) is (self.status is Status.PARSED):
            raise ValueError(
                f"a judgement of status {self.status.name} with mentions_conflict={self.mentions_conflict}"
            )
        if self.status is not Status.PARSED and not self.reason:
            raise ValueError(f"a judgement of status {self.status.name} without a reason")


class Judge(Protocol):
    """Judges one exchange after the other. Thread-safe."""

    name: str
    produced_by: str
    """What makes its judgements what they are: name, model, wording. Judgements of another one are not mixed in."""

    def judge(self, exchange: Exchange) -> Judgement:
        """Judge. What goes wrong with one exchange is a judgement of status ERROR, not an exception."""
        ...
