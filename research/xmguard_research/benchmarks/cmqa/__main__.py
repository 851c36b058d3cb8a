"""The command: `python -m xmguard_research.benchmarks.cmqa`.

    python -m xmguard_research.benchmarks.cmqa --baselines
    python -m xmguard_research.benchmarks.cmqa --out cmqa.jsonl --pictures cmqa-noto --style noto

Says whether the suite is the published one, how far it can be solved without a model, and writes it for other tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Annotated

import typer
from PIL import __version__ as pillow
from PIL import features
from rich import box
from rich.console import Console
from rich.table import Table

from xmguard.cli.terminal import stated_errors
from xmguard_research.benchmarks.cards import card
from xmguard_research.benchmarks.cmqa.baselines import rankings, rules
from xmguard_research.benchmarks.cmqa.drawn import drawn_digest
from xmguard_research.benchmarks.cmqa.items import SEED, TRIPLES, VARIANTS, Item, items, line
from xmguard_research.benchmarks.cmqa.pictures import png
from xmguard_research.benchmarks.lines import digest
from xmguard_research.benchmarks.rates import shown
from xmguard_research.metrics import Estimate
from xmguard_research.scenes import KINDS, STYLES


def main(
    triples: Annotated[int, typer.Option(help="The first ones are the same for any number.")] = TRIPLES,
    seed: Annotated[int, typer.Option(help="Of the series of scenes, in their test split.")] = SEED,
    variant: Annotated[list[str] | None, typer.Option(help=f"Some of {', '.join(VARIANTS)}; all by default.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help=f"Some of {', '.join(KINDS)}; all by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON lines, one item each.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for a PNG file of every picture.")] = None,
    style: Annotated[str, typer.Option(help=f"Of the pictures: {' or '.join(STYLES)}.")] = "noto",
    baselines: Annotated[bool, typer.Option("--baselines", help="How far rules and single sources get.")] = False,
) -> None:
    """Make pairs of sources that contradict each other about a question, and controls that do not.

    A source is a picture or a paragraph of a scene or of its twin, in which one fact was changed.
    """
    chosen, kinds = variant or VARIANTS, kind or KINDS
    drawn = list(items(triples, seed=seed, variants=chosen, kinds=kinds))
    sha = digest(map(line, drawn))
    typer.echo(f"{triples} triples, {len(drawn)} items, SHA-256 {sha}")
    published = card("xmguard_research.benchmarks.cmqa")
    if (triples, seed, tuple(chosen), tuple(kinds)) == (published.drawn, published.seed, VARIANTS, KINDS):
        same = sha == published.sha256
        typer.echo(f"{'the' if same else 'NOT the'} published version {published.version}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(b"".join(line(item) for item in drawn))
    if pictures is not None:
        written(drawn, pictures, style)
    if baselines:
        show(drawn)


def written(drawn: Sequence[Item], folder: Path, style: str) -> None:
    """Draw every picture once, under the name that its layout, values and look give it in the lines."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {source.scene: None for item in drawn for source in item.sources if source.told is None}
    started, total = process_time(), 0
    for scene in scenes:
        data = png(scene, style)
        total += len(data)
        (folder / f"{scene.id.replace('/', '-')}-{scene.look}.png").write_bytes(data)
    each = (process_time() - started) / max(1, len(scenes))
    typer.echo(
        f"{len(scenes)} pictures in {style}, {total / max(1, len(scenes)) / 1024:.1f} KiB and {each * 1000:.1f} ms each"
    )
    published = card("xmguard_research.benchmarks.cmqa")
    made_with = published.made_with
    same = "those" if drawn_digest(style) == published.pictures.get(style) else "NOT those"
    typer.echo(
        f"the suite's first ones are {same} of the card (Pillow {made_with['pillow']} and "
        f"FreeType {made_with['freetype']}; here {pillow} and {features.version('freetype2')})"
    )


def show(drawn: Sequence[Item]) -> None:
    """Print what needs no model."""
    console = Console()
    table = Table("rule", "variant", "detected", "false alarms", box=box.SIMPLE)
    for rule in rules(drawn):
        table.add_row(rule.name, rule.variant, shown(rule.detected), shown(rule.false_alarms))
    console.print(table)
    table = Table("score", "variant", "AUROC", "within triples", box=box.SIMPLE)
    for one in rankings(drawn):
        table.add_row(one.name, one.variant, _shown(one.auroc), _shown(one.within_triples))
    console.print(table)


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


if __name__ == "__main__":
    with stated_errors():
        typer.run(main)
