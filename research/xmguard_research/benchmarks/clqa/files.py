"""Items as JSON lines: written, read back and checked, and their SHA-256.

The digest is of exactly the bytes that are written. Knows no templates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks import lines
from xmguard_research.benchmarks.clqa.items import Change, Item
from xmguard_research.benchmarks.clqa.paragraphs import Paragraph


def write(items: Iterable[Item], path: Path) -> tuple[int, str]:
    """Write a line for every item; their number and the file's SHA-256.

    A file that is there is replaced once all items are written, not before.
    """
    return lines.write(map(line, items), path)


def read(path: Path) -> Iterator[Item]:
    """The items of a file that `write` wrote.

    Raises:
        InvalidRequest: a line is no item, or an answer does not stand where the line says.
    """
    with path.open("rb") as file:
        for number, row in enumerate(file, 1):
            try:
                item, stated = _item(json.loads(row))
            except (KeyError, TypeError, ValueError) as error:
                raise InvalidRequest.field(f"{path}:{number}", f"is no item of this suite: {error!r}") from error
            if [paragraph.answer for paragraph in item.paragraphs] != stated:
                raise InvalidRequest.field(f"{path}:{number}", "an answer is not where its span says; write it anew")
            yield item


def line(item: Item) -> bytes:
    """The item as it is written, with its line feed."""
    row = {
        "id": item.id,
        "topic": item.topic,
        "event": item.event,
        "kind": item.kind,
        "size": item.size,
        "variant": item.variant,
        "swapped": item.swapped,
        "question": item.question,
        "paragraphs": [_paragraph_row(paragraph) for paragraph in item.paragraphs],
        "answers": item.answers,
        "conflict": item.conflict,
        "change": None if item.change is None else vars(item.change),
    }
    return lines.line(row)


def _paragraph_row(paragraph: Paragraph) -> dict[str, Any]:
    span = {"start": paragraph.start, "end": paragraph.end, "text": paragraph.answer, "value": paragraph.value}
    return {
        "language": paragraph.language,
        "paraphrase": paragraph.paraphrase,
        "text": paragraph.text,
        "answer": span,
    }


def _item(row: dict[str, Any]) -> tuple[Item, list[str]]:
    """The item, and what the row says that its spans hold."""
    first, second = row["paragraphs"]
    change = None if row["change"] is None else Change(**row["change"])
    if row["conflict"] is not (change is not None):
        raise ValueError("conflict and change disagree")
    item = Item(
        id=row["id"],
        topic=row["topic"],
        event=row["event"],
        kind=row["kind"],
        size=row["size"],
        variant=row["variant"],
        swapped=row["swapped"],
        question=row["question"],
        paragraphs=(_paragraph(first), _paragraph(second)),
        answers=(row["answers"][0], row["answers"][1]),
        change=change,
    )
    return item, [first["answer"]["text"], second["answer"]["text"]]


def _paragraph(row: dict[str, Any]) -> Paragraph:
    span = row["answer"]
    return Paragraph(row["language"], row["paraphrase"], row["text"], span["start"], span["end"], span["value"])
