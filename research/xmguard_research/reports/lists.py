"""The responses behind every number, for a page to show: each response once, each text and picture once.

Of a large log only some responses of every cell are in the page; every list says how many of its own are. Knows no
HTML: everything here is data, and is escaped by whoever writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from io import BytesIO
from typing import Any

from PIL import Image

from xmguard.response import AnswerResponse
from xmguard_research.benchmarks.summary import Asking, Row, cells
from xmguard_research.reports.reading import data_url
from xmguard_research.reports.values import Material, Response, Source

IN_A_CELL = 60
"""Responses of one cell that a page holds, unless it is told otherwise."""
THUMBNAIL = 160
"""Pixels of a picture's longer side."""

_Name = tuple[Asking, str, str]
"""Asking, prompt and sample: a response, whatever number of scorers read it."""


class Lists:
    """Collects lists of rows, and what of them a page holds."""

    def __init__(self, material: Material, in_a_cell: int = IN_A_CELL) -> None:
        self._material = material
        self._texts: dict[str, int] = {}
        self._pictures: dict[str, int] = {}
        self._thumbnails: list[str] = []
        self._lists: list[dict[str, Any]] = []
        self._scores: dict[_Name, list[Row]] = {}
        for row in material.rows:
            self._scores.setdefault(_name(row), []).append(row)
        chosen = [row for cell in cells(material.rows).values() for row in some(cell.rows, in_a_cell)]
        self._places = {name: place for place, name in enumerate(dict.fromkeys(_name(row) for row in chosen))}

    @property
    def held(self) -> int:
        """Responses that the page holds."""
        return len(self._places)

    @property
    def responses(self) -> int:
        """Responses that there are."""
        return len(self._scores)

    def add(self, title: str, counted: Sequence[Row], others: Sequence[Row] | None = None) -> int:
        """A list, by its number. `others` are rows that a rate is taken over and that do not count."""
        made = {"title": title, "n": len(counted), "rows": self._held(counted)}
        if others is not None:
            made |= {"others": self._held(others), "m": len(others)}
        self._lists.append(made)
        return len(self._lists) - 1

    def _held(self, rows: Iterable[Row]) -> list[int]:
        return [self._places[_name(row)] for row in rows if _name(row) in self._places]

    def data(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        items = [self._item(self._scores[name]) for name in self._places]
        return {
            "items": items,
            "texts": list(self._texts),
            "pictures": self._thumbnails,
            "lists": self._lists,
        }

    def _item(self, rows: Sequence[Row]) -> dict[str, Any]:
        row = rows[0]
        response = self._material.response(row)
        key = row.key
        return {
            "where": [key.suite, key.model, key.setting or PLAIN, key.prompt, key.variant],
            "sample": row.sample,
            "conflict": row.conflict,
            "question": response.question,
            "sources": [self._source(source) for source in response.sources],
            "words": response.words,
            "failed": row.failed,
            "scores": [_scored(one, response) for one in rows if not row.failed],
            **({} if response.guard is None else _guarded(response.guard)),
        }

    def _source(self, source: Source) -> dict[str, Any]:
        named = {"name": source.name, "language": source.language}
        if source.picture is None:
            return {**named, "text": self._texts.setdefault(source.text, len(self._texts))}
        digest = sha256(source.picture).hexdigest()
        if digest not in self._pictures:
            self._pictures[digest] = len(self._thumbnails)
            self._thumbnails.append(thumbnail(source.picture))
        return {**named, "picture": self._pictures[digest]}


PLAIN = "as it comes"
"""How the empty setting is called."""


def some(rows: Sequence[Row], count: int) -> list[Row]:
    """So many rows, from every outcome in turn, so that rare outcomes are there; all if there are no more."""
    outcomes: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        outcomes.setdefault((row.conflict, row.found, row.decision, bool(row.failed)), []).append(row)
    return [row for _, row in zip(range(count), _in_turn(list(outcomes.values())), strict=False)]


def _in_turn(groups: Sequence[Sequence[Row]]) -> Iterator[Row]:
    for place in range(max((len(group) for group in groups), default=0)):
        yield from (group[place] for group in groups if place < len(group))


def thumbnail(picture: bytes) -> str:
    """A small copy as a data URL."""
    with Image.open(BytesIO(picture)) as opened:
        small = opened.convert("RGBA" if "A" in opened.getbands() else "RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    made = BytesIO()
    small.save(made, "WEBP", quality=80)
    return data_url("image/webp", made.getvalue())


def _name(row: Row) -> _Name:
    return Asking.of(row.key), row.key.prompt, row.sample


def _scored(row: Row, response: Response) -> dict[str, Any]:
    scored = response.scores.get(row.key.measure)
    return {
        "measure": row.key.measure,
        "found": row.found,
        "judge": "" if scored is None else scored.judge,
        "reason": "" if scored is None else scored.reason,
    }


def _guarded(guard: AnswerResponse) -> dict[str, Any]:
    verdict = guard.verdict
    return {
        "verdict": {
            "decision": verdict.decision.name,
            "probability": verdict.probability,
            "status": verdict.status.name,
            "reason": verdict.reason,
        },
        "bias": guard.rebalancing.policy if guard.rebalancing.applied else "",
        "spans": [
            {
                "name": span.span_id,
                "kind": span.language or span.modality,
                "tokens": span.tokens,
                "before": span.contribution_before,
                "after": span.contribution_after,
                "alone": span.answer_alone,
            }
            for span in guard.spans
        ],
        "warnings": list(guard.warnings),
    }
