"""`xmguard mix train`: trains a recipe's model, and shows how it goes. Imports nothing heavy until it is called."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from xmguard.cli.terminal import errors, output, printable
from xmguard.errors import InvalidRequest
from xmguard_research.mixing.packages import needed

_TINY = Path(__file__).parent / "recipes" / "tiny.yaml"


def train(
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run; it goes on where it was stopped.")],
    recipe: Annotated[Path | None, typer.Argument(metavar="RECIPE", help="A YAML file; see the mixing README.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DATA", help="What xmguard mix build made; without it RUN/data is made.")
    ] = None,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="A built-in recipe in place of RECIPE: minutes, to see that all works.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="In place of the recipe's: train.seed=1, ..."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Begin anew, and replace what another run has left in RUN.")
    ] = False,
) -> None:
    """Train a model on a recipe's data, and write RUN/model.

    A run that was stopped goes on from its last checkpoint when it is started
    again. With several GPUs: accelerate launch -m xmguard mix train ...
    """
    if (recipe is None) is not tiny:
        raise InvalidRequest.field("RECIPE", "give either a recipe or --tiny")
    main = os.environ.get("RANK", "0") == "0"
    try:
        with needed():
            from xmguard_research.mixing.recipe import Recipe
            from xmguard_research.mixing.training import run_training

            read = Recipe.read(recipe or _TINY, changes or ())
            hush()
            with _bar(main) as show:
                made = run_training(read, data, out, force=force, tell=_say if main else _nothing, show=show)
    except KeyboardInterrupt:
        if main:
            _say(f"stopped; {_next(out, force)}")
        raise
    if main:
        output().print(Text(printable(f"{made} is done; next: xmguard serve --model {made}")), soft_wrap=True)


def _next(out: Path, force: bool) -> str:
    """What the same command does to a run that was stopped; with --force it would throw its checkpoints away."""
    from xmguard_research.mixing.run import Run

    newest = Run(out).newest
    if newest is None:
        return f"there is no checkpoint in {out} yet, so that the same command begins anew"
    return f"the same command{', without --force,' if force else ''} goes on from {newest.name} in {out}"


def _say(line: str) -> None:
    errors().print(Text(printable(line)), soft_wrap=True)


def _nothing(line: str) -> None:
    """Said by another process."""


def hush() -> None:
    """Silence the bars and notices of the libraries, which would break into ours."""
    import warnings

    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)  # peft's


@contextmanager
def _bar(main: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr; a line now and then where stderr is no terminal, and of processes but the first nothing."""
    from xmguard_research.mixing.watching import now_and_then

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    console = errors()
    if not console.is_terminal or not main:
        yield now_and_then(_say if main else _nothing)
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(line: str, done: int, of: int) -> None:
            bar.update(task, description=printable(line), completed=done, total=of or None)

        yield show
