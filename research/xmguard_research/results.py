"""Results files: JSON lines that are appended as they come, so that a run which was stopped goes on where it was.

What a killed run left of its last line is dropped. Knows no experiment: a row is a frozen dataclass of plain values
with a `key` and `produced_by`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import typer
from rich.console import Console
from rich.progress import track

from xmguard import Guard


class Row(Protocol):
    """One line of a results file; a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def key(self) -> str:
        """Identifies what was measured."""
        ...

    @property
    def produced_by(self) -> str:
        """What makes the number what it is; rows of another producer are not mixed in."""
        ...


R = TypeVar("R", bound=Row)
T = TypeVar("T")


def producer(guard: Guard) -> str:
    """Model hash, dtype and version: what makes a guard's numbers what they are."""
    stamp = guard.stamp
    return f"{stamp.model_hash} {stamp.dtype} {stamp.xmguard_version}"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file; blank lines are skipped.

    Raises:
        typer.BadParameter: a line is not JSON, with its number.
    """
    yield from _objects(path, path.read_bytes())


def ended_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The same of a file that is being written, or was until a kill: without what has no line's end yet.

    Raises:
        typer.BadParameter: a line is not JSON, with its number.
    """
    yield from _objects(path, path.read_bytes().rpartition(b"\n")[0])


def _objects(path: Path, content: bytes) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(content.decode().split("\n"), start=1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise typer.BadParameter(f"{path}, line {number} is not JSON ({error}); remove the line") from error


def known(path: Path, kind: Callable[..., R], produced_by: str) -> dict[str, R]:
    """Rows that a results file has already, by key; none where there is no file.

    Raises:
        typer.BadParameter: some are of another producer, or of another kind.
    """
    if path.exists():
        _mend(path)
    try:
        rows = {row.key: row for row in (kind(**line) for line in (lines(path) if path.exists() else ()))}
    except TypeError as error:
        raise typer.BadParameter(f"{path} holds other rows than these; choose another file ({error})") from error
    strangers = {row.produced_by for row in rows.values()} - {produced_by}
    if strangers:
        raise typer.BadParameter(f"{path} holds results of {', '.join(sorted(strangers))}; choose another file")
    return rows


def append(path: Path, wanted: Sequence[T], measure: Callable[[T], Sequence[R]], description: str) -> Iterator[R]:
    """Measure one after another, and write down each before the next begins."""
    if not wanted:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        for one in track(wanted, description=description, console=Console(stderr=True)):
            for row in measure(one):
                stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
                yield row
            stream.flush()


def _mend(path: Path) -> None:
    """End the last line, or take it away if it is only the beginning of an object: a kill came between."""
    whole = path.read_bytes()
    last = whole.rpartition(b"\n")[2]
    if not last:
        return
    try:
        json.loads(last)
    except ValueError:  # also of a character that is cut in the middle
        if last.startswith(b"{"):
            with path.open("r+b") as file:
                file.truncate(len(whole) - len(last))
    else:
        with path.open("ab") as file:
            file.write(b"\n")
