"""The command: `python -m xmguard_research.benchmarks.pixels`.

    python -m xmguard_research.benchmarks.pixels
    python -m xmguard_research.benchmarks.pixels --out pixels.jsonl --pictures pages

Says whether the suite is the published one and how large its letters are, and writes it for other tools.
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from time import process_time
from typing import Annotated

import typer

from xmguard.cli.terminal import stated_errors
from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.clqa.items import parse_variant
from xmguard_research.benchmarks.lines import digest
from xmguard_research.benchmarks.pixels.drawn import pages
from xmguard_research.benchmarks.pixels.items import ENGLISH, TOPICS, items, line
from xmguard_research.benchmarks.pixels.page import PIXELS, Page, png
from xmguard_research.scenes.canvas import UNITS


def main(
    topics: Annotated[int, typer.Option(help="Of CLQA; the first ones are the same for any number.")] = TOPICS,
    seed: Annotated[int, typer.Option(help="Of CLQA.")] = 0,
    languages: Annotated[str, typer.Option(help="Of both paragraphs, in Latin letters: en-en, en-es, ...")] = "en-en",
    size: Annotated[str, typer.Option(help="short or long, as in CLQA.")] = "short",
    pixels: Annotated[int, typer.Option(min=64, help="Width and height of a page.")] = PIXELS,
    out: Annotated[Path | None, typer.Option(help="JSON lines, one item each.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for a PNG file of every page.")] = None,
) -> None:
    """Letter CLQA's paragraphs on pages, and say how legible these are."""
    pair = parse_variant(languages)
    drawn = list(items(topics, seed=seed, languages=pair, size=size))
    sha = digest(map(line, drawn))
    typer.echo(f"{topics} topics, {len(drawn)} items, SHA-256 {sha}")
    published = card("xmguard_research.benchmarks.pixels")
    if (topics, seed, pair, size) == (published.drawn, published.seed, ENGLISH, "short"):
        typer.echo(f"{'the' if sha == published.sha256 else 'NOT the'} published version {published.version}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(b"".join(line(item) for item in drawn))
    laid = pages(drawn)
    started = process_time()
    sizes = [len(png(one, pixels)) for one in laid]
    each = (process_time() - started) / len(laid)
    letters = [one.size * pixels / UNITS for one in laid]
    typer.echo(f"{len(laid)} pages, {mean(sizes) / 1024:.1f} KiB and {each * 1000:.1f} ms each")
    for name, values in (
        (f"letters, pixels of {pixels}", letters),
        ("lines", [len(one.lines) for one in laid]),
        ("characters of the longest line", [_longest(one) for one in laid]),
    ):
        typer.echo(f"{name}: {min(values):.0f} to {max(values):.0f}, mean {mean(values):.1f}")
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for number, one in enumerate(laid):
            (pictures / f"{number:05d}.png").write_bytes(png(one, pixels))


def _longest(page: Page) -> int:
    return max(map(len, page.lines))


if __name__ == "__main__":
    with stated_errors():
        typer.run(main)
