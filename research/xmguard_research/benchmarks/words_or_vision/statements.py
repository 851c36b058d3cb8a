"""Two statements that support the answer of a question and two that contradict it, from either form of the data.

Knows no suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.vqa.questions import picture_of
from xmguard_research.results import lines
from xmguard_research.verdict.statements import Item, read_items

WRITERS = ("gpt-4o-2024-05-13", "gpt-4o-mini-2024-07-18")
"""Folders of the models that wrote the statements; the first one's come first."""
SOURCE = (
    "clone https://github.com/d-ailin/blind-faith-in-text and name its folder raw_code/syth_response/lmms-lab/VQAv2, "
    "or name a file of lines"
)


def read(path: Path) -> list[Item]:
    """What `path` holds: the published folder of statements, or a file of lines as `read_items` reads it.

    Raises:
        InvalidRequest: there is nothing, a row lacks a field, or no question has an answer.
    """
    if path == Path() or not path.exists():
        raise InvalidRequest.field("data", f"{path} is not there; {SOURCE}" if path.name else f"is missing; {SOURCE}")
    try:
        items = read_published(path) if path.is_dir() else read_items(path)
    except (LookupError, TypeError) as error:
        raise InvalidRequest.field("data", f"{path}: a row lacks what it should have: {error!r}") from error
    if nameless := [item.name for item in items if not item.answer]:
        raise InvalidRequest.field("data", f"{path}: {nameless[0]} and {len(nameless) - 1} more rows have no answer")
    return items


def read_published(folder: Path) -> list[Item]:
    """Questions of which every file of both writers has a row; a writer's first row of a question counts.

    Raises:
        InvalidRequest: a file is missing.
    """
    first, second = (
        {side: _rows(folder / writer / f"{side}_stat.jsonl") for side in ("supp", "contradict")} for writer in WRITERS
    )
    names = [name for name in first["supp"] if all(name in own for own in (first["contradict"], *second.values()))]
    return [
        Item(
            name,
            first["supp"][name]["question"],
            (_said(first["supp"][name]), _said(second["supp"][name])),
            (_said(first["contradict"][name]), _said(second["contradict"][name])),
            (first["contradict"][name]["changed_ans"][0], second["contradict"][name]["changed_ans"][0]),
            answer=first["contradict"][name]["original_ans"][0],
            picture=picture_of(name),
        )
        for name in names
    ]


def _said(row: Mapping[str, Any]) -> str:
    return str(row["response"][0])


def _rows(path: Path) -> dict[str, Mapping[str, Any]]:
    if not path.is_file():
        raise InvalidRequest.field("data", f"{path} is not there; {SOURCE}")
    found: dict[str, Mapping[str, Any]] = {}
    for row in lines(path):
        found.setdefault(str(row["question_id"]), row)
    return found
