"""Which data a generated suite is, to the byte, and the command that says so: `python -m PACKAGE --baselines`.

A suite's items are values; the digest is of these as JSON lines, not of pictures, which another Pillow or FreeType may
draw otherwise. `card.json` is changed by hand, together with its version, when the data are meant to change. Knows no
suite.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from xmguard.errors import XmguardError
from xmguard_research.benchmarks.summary import table

Line = Mapping[str, Any]
"""An item in JSON values."""
Baselines = Sequence[Sequence[str]]
"""A table: its head and its lines."""


@dataclass(frozen=True)
class Card:
    """What the defaults of a suite give."""

    suite: str
    version: str
    licence: str
    """SPDX identifier."""
    seed: int
    items: int
    sha256: str


def card(package: str) -> Card:
    """The card in a package."""
    return Card(**json.loads((files(package) / "card.json").read_text(encoding="utf-8")))


def written(lines: Iterable[Line]) -> bytes:
    """Items as JSON lines."""
    return b"".join(
        json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n" for line in lines
    )


def digest(lines: Iterable[Line]) -> str:
    """SHA-256 of `written`."""
    return sha256(written(lines)).hexdigest()


def command(package: str, lines: Callable[[], Sequence[Line]], baselines: Callable[[], Baselines]) -> None:
    """Run the command of a suite's package; an error that xmguard raises on purpose is one line."""

    def main(
        out: Annotated[Path | None, typer.Option(help="Write the items as JSON lines; replaces a file.")] = None,
        with_baselines: Annotated[
            bool, typer.Option("--baselines", help="What is found without reading or looking, as in the card.")
        ] = False,
    ) -> None:
        """Say whether this machine makes the published data; write them, or show what rules find in them."""
        own, published = lines(), card(package)
        found = digest(own)
        same = "the published" if found == published.sha256 else f"NOT the published (SHA-256 {published.sha256})"
        typer.echo(f"{published.suite}: {len(own)} items, SHA-256 {found}: {same} version {published.version}")
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(written(own))
        if with_baselines:
            head, *rest = baselines()
            typer.echo(table(head, rest))

    try:
        typer.run(main)
    except XmguardError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
