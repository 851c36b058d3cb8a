"""Which cases a suite gave, to the byte: their SHA-256, by which two runs know that they asked the same."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from xmguard import Span
from xmguard_research.benchmarks import lines
from xmguard_research.benchmarks.cases import Case


def line(case: Case) -> bytes:
    """The case as a JSON line, with its line feed; of a picture the SHA-256 stands for it."""
    row = {
        "id": case.id,
        "item": case.item,
        "variant": case.variant,
        "question": case.question,
        "spans": [_span(span) for span in case.spans],
        "conflict": case.conflict,
        "answers": case.answers,
    }
    return lines.line(row)


def digest(cases: Iterable[Case]) -> str:
    """SHA-256 of the lines of all cases, in order."""
    return lines.digest(map(line, cases))


def _span(span: Span) -> dict[str, Any]:
    said: dict[str, Any] = {"language": span.language}
    if span.media is None:
        return said | {"text": span.text}
    return said | {"media_type": span.media.media_type, "sha256": sha256(span.media.data).hexdigest()}
