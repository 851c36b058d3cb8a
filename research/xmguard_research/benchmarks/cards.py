"""Which data a generated suite is, to the byte, and the command that says so: `python -m PACKAGE --baselines`.

A suite's items are values; the digest is of these as JSON lines, not of pictures, which another Pillow or FreeType may
draw otherwise. `card.json` is changed by hand, together with its version, when the data are meant to change. Knows no
suite.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from xmguard.cli.terminal import stated_errors
from xmguard_research.benchmarks.lines import digest, line

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
    """Of the items as JSON lines."""
    drawn: int | None = None
    """How many topics or triples; None where a suite counts otherwise."""
    made_with: Mapping[str, str] = field(default_factory=dict)
    """Library to the release that made the data or drew the pictures; another may write or draw otherwise."""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Style to the SHA-256 of the first pictures as RGB."""


def card(package: str) -> Card:
    """The card in a package."""
    return Card(**json.loads((files(package) / "card.json").read_text(encoding="utf-8")))


def command(package: str, lines: Callable[[], Sequence[Line]], baselines: Callable[[], Baselines]) -> None:
    """Run the command of a suite's package; an error that xmguard raises on purpose is one line."""

    def main(
        out: Annotated[Path | None, typer.Option(help="Write the items as JSON lines; replaces a file.")] = None,
        with_baselines: Annotated[
            bool, typer.Option("--baselines", help="What is found without reading or looking, as in the card.")
        ] = False,
    ) -> None:
        """Say whether this machine makes the published data; write them, or show what rules find in them."""
        own, published = [line(row) for row in lines()], card(package)
        found = digest(own)
        same = "the published" if found == published.sha256 else f"NOT the published (SHA-256 {published.sha256})"
        typer.echo(f"{published.suite}: {len(own)} items, SHA-256 {found}: {same} version {published.version}")
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(b"".join(own))
        if with_baselines:
            # inspect_ai, which comes with it, takes seconds to import.
            from xmguard_research.benchmarks.summary import table

            head, *rest = baselines()
            typer.echo(table(head, rest))

    with stated_errors():
        typer.run(main)
