"""The cases of a benchmark suite as something to calibrate on: which are looked at, and how a guard reads each.

A suite's items fall into two halves by a hash of their names, for good: whatever is chosen is chosen on DEV, and TEST
is only ever reported. Knows no policy and no fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from xmguard import AnswerRequest, Guard
from xmguard.context import Context
from xmguard.errors import InvalidRequest, Reason
from xmguard.parts import TEXT
from xmguard.profile import meeting
from xmguard_research.benchmarks.cases import Case
from xmguard_research.verdict.pairs import Label, Pair

DEV, TEST = "dev", "test"
SPLIT = "an item is dev if SHA-256 of `calibrate ITEM` is even, and test if it is odd"
"""What `split` does, for reports."""


@dataclass(frozen=True)
class Asked:
    """A case of two sources as a guard reads it."""

    case: Case
    context: Context

    @property
    def item(self) -> str:
        """Cases of one item stay together."""
        return self.case.item

    @property
    def pair(self) -> str:
        """How its sources meet, as a profile names it."""
        return meeting(self.context.spans)

    @property
    def request(self) -> AnswerRequest:
        """As a caller would send it."""
        return AnswerRequest(spans=self.case.spans, question=self.case.question)

    @property
    def labelled(self) -> Pair:
        """As a pair that a verdict is fitted to; a source without an answer leaves it undetermined."""
        first, second = self.context.spans
        silent = len(self.case.answers) == 2 and not all(answer.strip() for answer in self.case.answers)
        known = Label.CONFLICT if self.case.conflict else Label.CONSISTENT
        pictures = [None if span.modality == TEXT else _Given(_media(span.span.media)) for span in (first, second)]
        return Pair(
            key=self.case.id,
            item=self.case.item,
            yardstick="suite",
            question=self.case.question,
            texts=(first.span.text or "", second.span.text or ""),
            languages=(first.language, second.language),
            label=Label.UNDETERMINED if silent else known,
            pictures=(pictures[0], pictures[1]),
        )

    @property
    def content(self) -> str:
        """Identifies what is asked."""
        return self.labelled.content


@dataclass(frozen=True)
class _Given:
    """A picture that a case holds as it is; it travels in the case's own request."""

    spec: str

    def png(self) -> bytes:
        raise NotImplementedError("a suite's pictures are in its requests")


def split(item: str) -> str:
    """DEV or TEST, for good; see `SPLIT`."""
    return TEST if _hash(item) % 2 else DEV


def halves(cases: Sequence[Case], items: int | None) -> dict[str, list[Case]]:
    """Cases by split, of at most so many items each: the first by their hash, so that more items add to fewer.

    Raises:
        InvalidRequest: one half has none.
    """
    found: dict[str, list[Case]] = {}
    for half in (DEV, TEST):
        own = sorted({case.item for case in cases if split(case.item) == half}, key=_hash)
        kept = {*own[:items]}
        found[half] = [case for case in cases if case.item in kept]
        if not kept:
            number = len({case.item for case in cases})
            raise InvalidRequest.field(
                "--suite", f"none of its {number} items is {half}; take a suite, or options, with more items"
            )
    return found


def fitting(guard: Guard, cases: Sequence[Case]) -> list[Asked]:
    """Cases of two sources that fit into the model's context, as it reads them.

    Raises:
        InvalidRequest: a case is no request that the installed plugins take.
        ModalityNotSupported: the model does not read a case's pictures.
    """
    found = []
    for case in cases:
        if len(case.spans) != 2:
            continue
        request = AnswerRequest(spans=case.spans, question=case.question)
        try:
            valid = guard.prepare(request).valid
        except InvalidRequest as error:
            if error.reason is not Reason.PROMPT_TOO_LONG:
                raise
            continue
        found.append(Asked(case, valid.context))
    return found


def _hash(item: str) -> int:
    return int(sha256(f"calibrate {item}".encode()).hexdigest(), 16)


def _media(media: Any) -> str:
    return f"{media.media_type} {sha256(media.data).hexdigest()}"
