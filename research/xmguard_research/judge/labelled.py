"""The labelled responses that judges are measured on: short texts written for the purpose, to no real context.

The label follows the paper's question to its judge (section E.1): can one infer from the response that the sources
contain a contradiction, or suggest different answers? What that means in doubtful cases is in `LABELLING.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from xmguard.errors import InvalidRequest
from xmguard_research.judge.values import Exchange
from xmguard_research.results import lines

SHIPPED = Path(__file__).with_name("responses.jsonl")
SPLITS = ("dev", "test", "fresh")


@dataclass(frozen=True)
class LabelledResponse:
    """One response and whether it says that its sources contradict each other."""

    id: str
    language: str
    """Of the response, a BCP-47 tag; the question's may be another."""
    question: str
    response: str
    says_conflict: bool
    kind: str
    """How it is phrased, for example `attributes` or `denies`."""
    notes: str
    """Why it is labelled so, where that is not plain."""
    batch: int
    """1: written before any rule; 2: after the rules had been fitted; 3: after they had been fitted to 2 as well."""

    @property
    def split(self) -> str:
        """`dev` or `test` in batch 1, by a hash of the question, so that none ever moves; batch 2 is dev, 3 `fresh`."""
        if self.batch > 1:
            return "dev" if self.batch == 2 else "fresh"
        return SPLITS[int(sha256(self.question.encode()).hexdigest(), 16) % 2]

    @property
    def exchange(self) -> Exchange:
        """What a judge gets to see."""
        return Exchange(self.question, self.response)


def load(path: Path = SHIPPED) -> tuple[LabelledResponse, ...]:
    """The responses of a JSONL file.

    Raises:
        InvalidRequest: a line lacks a field or has one too many, or an id comes twice.
        typer.BadParameter: a line is not JSON.
    """
    found: dict[str, LabelledResponse] = {}
    for number, line in enumerate(lines(path), start=1):
        try:
            one = LabelledResponse(**line)
        except TypeError as error:
            raise InvalidRequest.field("responses", f"{path}, response {number}: {error}") from error
        if type(one.says_conflict) is not bool or one.id in found:
            wrong = "its id is used twice" if one.id in found else "says_conflict must be true or false"
            raise InvalidRequest.field("responses", f"{path}, response {number}: {wrong}")
        found[one.id] = one
    return tuple(found.values())
