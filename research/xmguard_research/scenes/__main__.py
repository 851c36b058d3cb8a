"""The commands: fetch the art, look at pictures, and see what can be guessed without looking.

python -m xmguard_research.scenes fetch
python -m xmguard_research.scenes show --style noto --out sheet.png
python -m xmguard_research.scenes baseline
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from xmguard.cli.terminal import stated_errors
from xmguard_research.scenes import KINDS, assets, pictures, scenes
from xmguard_research.scenes.baseline import blind
from xmguard_research.scenes.sheet import sheet

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def fetch(
    noto: Annotated[Path | None, typer.Option(help=f"{assets.NOTO.file}, if you have it.")] = None,
    fluent: Annotated[Path | None, typer.Option(help=f"{assets.FLUENT.file}, if you have it.")] = None,
) -> None:
    """Put both emoji sets into the cache."""
    for source, given in ((assets.NOTO, noto), (assets.FLUENT, fluent)):
        typer.echo(assets.fetch(source, given))


@app.command()
def show(
    out: Annotated[Path, typer.Option(help="The sheet, a PNG file.")],
    style: Annotated[str, typer.Option(help="noto or fluent.")] = "noto",
    split: Annotated[str, typer.Option(help="train or test.")] = "train",
    seed: int = 0,
    count: Annotated[int, typer.Option(min=1)] = 35,
    columns: Annotated[int, typer.Option(min=1)] = 7,
    kind: Annotated[list[str] | None, typer.Option(help=f"Some of {', '.join(KINDS)}; all by default.")] = None,
) -> None:
    """Draw pictures in a grid, with questions and answers below."""
    drawn = pictures(style=style, split=split, seed=seed, count=count, kinds=kind or KINDS)
    sheet(list(islice(drawn, count)), columns).save(out)
    typer.echo(out)


@app.command()
def baseline(
    train: Annotated[int, typer.Option(min=1, help="Training scenes to learn from.")] = 20000,
    test: Annotated[int, typer.Option(min=1, help="Test scenes to answer.")] = 4000,
    seed: int = 0,
) -> None:
    """Answer without looking: how often is the most frequent answer right?"""
    table = Table("skill", "questions", "answers", "by skill", "by wording", box=box.SIMPLE)
    for row in blind(scenes(split="train", seed=seed, count=train), scenes(split="test", seed=seed, count=test)):
        table.add_row(row.skill, str(row.questions), str(row.answers), f"{row.by_skill:.2f}", f"{row.by_wording:.2f}")
    Console().print(table)


if __name__ == "__main__":
    with stated_errors():
        app()
