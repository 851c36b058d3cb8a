"""Items of generated CMQA: a question over two sources, each a description or a picture in a file beside.

Written as JSON lines and read back. Knows no model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmguard.errors import InvalidRequest
from xmguard.parts import IMAGE, TEXT
from xmguard_research.benchmarks import lines
from xmguard_research.benchmarks.cmqa.telling import Telling
from xmguard_research.benchmarks.generated.album import Album

FILE = "items.jsonl"
PICTURES = "pictures"
"""Name of the folder beside the file."""


@dataclass(frozen=True)
class Source:
    """A description, or a picture by the name of its file."""

    answer: str
    told: Telling | None = None
    """None of a picture."""
    picture: str = ""
    """Empty of a description."""
    is_drawn: bool = False
    """Whether a model drew the picture; otherwise it is the photograph."""


@dataclass(frozen=True)
class Item:
    """A question over two sources, in the order in which they are read."""

    id: str
    triple: str
    """Items of one triple stay together in folds and bootstrap draws."""
    kind: str
    """Of the question, as VQA-v2 has it."""
    variant: str
    """Modalities in their order: `text-image`."""
    pair: str
    """Which scene each source is of, a of the photograph or b of the contradiction: `ab`."""
    question: str
    """English."""
    sources: tuple[Source, Source]

    @property
    def answers(self) -> tuple[str, str]:
        """What each source answers."""
        return self.sources[0].answer, self.sources[1].answer

    @property
    def conflict(self) -> bool:
        """Whether the sources answer the question differently."""
        return self.answers[0] != self.answers[1]


def album(folder: Path) -> Album:
    """The pictures of a folder of items."""
    return Album(folder / PICTURES)


def write(items: Iterable[Item], folder: Path) -> tuple[int, str]:
    """Write a line for every item; their number and the file's SHA-256, which by their names is the pictures' too."""
    return lines.write(map(line, items), folder / FILE)


def read(folder: Path) -> Iterator[Item]:
    """The items of a folder that `write` wrote; the pictures are left where they are.

    Raises:
        InvalidRequest: a line is no item.
    """
    path = folder / FILE
    with path.open("rb") as file:
        for number, row in enumerate(file, 1):
            try:
                yield _item(json.loads(row))
            except (KeyError, TypeError, ValueError) as error:
                raise InvalidRequest.field(f"{path}:{number}", f"is no item of this suite: {error!r}") from error


def line(item: Item) -> bytes:
    """The item as it is written, with its line feed."""
    row = {
        "id": item.id,
        "triple": item.triple,
        "kind": item.kind,
        "variant": item.variant,
        "pair": item.pair,
        "question": item.question,
        "sources": [_row(source) for source in item.sources],
        "conflict": item.conflict,
    }
    return lines.line(row)


def _row(source: Source) -> dict[str, Any]:
    if source.told:
        return {"modality": TEXT, "answer": source.answer, **vars(source.told)}
    return {"modality": IMAGE, "answer": source.answer, "picture": source.picture, "drawn": source.is_drawn}


def _item(row: dict[str, Any]) -> Item:
    first, second = row["sources"]
    names = ("id", "triple", "kind", "variant", "pair", "question")
    item = Item(**{name: row[name] for name in names}, sources=(_source(first), _source(second)))
    if row["conflict"] is not item.conflict:
        raise ValueError("conflict and answers disagree")
    return item


def _source(row: dict[str, Any]) -> Source:
    if row["modality"] == TEXT:
        return Source(row["answer"], Telling(row["text"], row["start"], row["end"]))
    return Source(row["answer"], None, row["picture"], row["drawn"])
