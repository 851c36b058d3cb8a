"""What a report is made of, as read: responses with everything behind them, runs, and analyses beside the logs.

Values only. Knows no file and no page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xmguard.response import AnswerResponse, Stamp
from xmguard_research.benchmarks.missing import Unasked
from xmguard_research.benchmarks.protocol import PROMPTS
from xmguard_research.benchmarks.summary import Asking, Row


@dataclass(frozen=True)
class Source:
    """One source of a question."""

    name: str
    language: str
    """Empty where the suite does not say."""
    text: str = ""
    picture: bytes | None = None

    @property
    def modality(self) -> str:
        """`text` or `picture`."""
        return "text" if self.picture is None else "picture"


@dataclass(frozen=True)
class Scored:
    """What one scorer says of a response beside what it found."""

    judge: str
    reason: str


@dataclass(frozen=True)
class Response:
    """One sample of a log and what came of it."""

    question: str
    sources: tuple[Source, ...]
    words: str
    """The model's own."""
    guard: AnswerResponse | None
    """What a model of ours says beside its words."""
    scores: Mapping[str, Scored]
    """By scorer."""

    @property
    def kind(self) -> str:
        """Of `KINDS`, by its sources."""
        languages = {source.language for source in self.sources} - {""}
        if len(self.sources) < 2:
            return KINDS[0]
        if len({source.modality for source in self.sources}) > 1:
            return KINDS[3]
        return KINDS[2] if len(languages) > 1 else KINDS[1]


KINDS = ("one source", "unimodal", "cross-lingual", "cross-modal", "mixed")
"""What meets in a sample: the last is for variants whose samples are of several kinds."""


@dataclass(frozen=True)
class Run:
    """What was run under one asking, over all its logs."""

    asking: Asking
    prompts: tuple[str, ...]
    stamps: tuple[Stamp, ...]
    """Of models of ours; empty for others, which say no more than their name."""
    judges: tuple[str, ...]
    decoding: str
    started: str
    ended: str
    """ISO 8601, UTC; empty where a log was cut short."""
    commits: tuple[str, ...]
    """Of the checkout that ran it, with `+` where it had changes of its own; empty outside one."""
    engine: str
    """Version of inspect_ai."""
    commands: tuple[str, ...]
    logs: tuple[str, ...]
    """File names."""


@dataclass(frozen=True)
class Analysis:
    """The `summary.json` of an analysis, and its figures as data URLs."""

    name: str
    title: str
    about: str
    command: str
    caption: str
    tables: tuple[tuple[str, Sequence[Sequence[str]]], ...]
    """Titles, empty for the first, and rows of which the first names the columns."""
    figures: tuple[tuple[str, str], ...]
    """File names and data URLs."""


@dataclass(frozen=True)
class Material:
    """Everything that a report is made of."""

    rows: tuple[Row, ...]
    responses: Mapping[tuple[str, str], Response]
    """By log and sample, as a row names them."""
    runs: tuple[Run, ...]
    analyses: tuple[Analysis, ...] = field(default=())
    folder: Path = Path()
    unasked: tuple[Unasked, ...] = ()
    """Runs that are not whole."""

    def response(self, row: Row) -> Response:
        """What is behind a row."""
        return self.responses[row.log, row.sample]


def by_prompt(name: str) -> tuple[int, str]:
    """Sorts prompts: ours in their order, then others by name."""
    known = list(PROMPTS)
    return known.index(name) if name in known else len(known), name
