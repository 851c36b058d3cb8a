"""`xmguard mix build`: the data of a recipe. Shows what was drawn, and how much of it there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from xmguard.cli.terminal import ABSENT, errors, output, printable
from xmguard.errors import InvalidRequest
from xmguard_research.mixing.packages import needed


def build(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A YAML file; see the mixing README.")],
    out: Annotated[Path | None, typer.Option(metavar="DATA", help="Folder that is made.", show_default=False)] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="In place of the recipe's: data.strategy=dataset, ..."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be in it, and write nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace data of another recipe, or of sources that have changed.")
    ] = False,
) -> None:
    """Draw items from a recipe's sources, join them, and write the instances to train on.

    Makes nothing where the folder holds the data of this recipe already.
    """
    if out is None and not dry_run:
        raise InvalidRequest.field("--out", "is missing; name the folder for the data, or give --dry-run")
    with needed():
        from xmguard_research.mixing import building
        from xmguard_research.mixing.recipe import Recipe

        read = Recipe.read(recipe, changes or ())
        with _bar() as tell:
            if dry_run:
                manifest, said = building.describe(building.plan(read, tell=tell), tell), "nothing written"
            else:
                assert out is not None
                built = building.build(read, out, force=force, tell=tell)
                manifest, said = built.manifest, f"{'unchanged' if built.unchanged else 'wrote'}: {out}"
    _show(manifest)
    output().print(Text(printable(said)))


def _show(manifest: Mapping[str, Any]) -> None:
    """What was drawn of every source, and what was made of it."""
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    drawn.add_column("source")
    drawn.add_column("modality")
    for heading in ("items", "held out", "drawn", "passes", "trained tokens"):
        drawn.add_column(heading, justify="right")
    for source in manifest["sources"]:
        numbers = (source["items"], source["held_out"], source["drawn"])
        drawn.add_row(
            Text(printable(source["name"])),
            Text(printable(source["modality"])),
            *(f"{number:,}" for number in numbers),
            f"{source['passes']:.2f}",
            f"{source['trained_tokens']:,}",
        )
    output().print(drawn)
    for source in manifest["sources"]:
        topics, questions = source.get("topics", 0), source.get("questions", 0)  # of an earlier version's folder
        if 0 < questions < topics:
            said = f"{source['name']}: {topics:,} topics with {questions:,} different questions; some are asked again"
            output().print(Text(printable(said)), soft_wrap=True)
    instances = manifest["instances"]
    together = ", ".join(f"{name} {count:,}" for name, count in manifest["combinations"].items()) or ABSENT
    output().print(
        Text(
            printable(
                f"{instances:,} instances ({together}), {manifest['shorter_instances']:,} of them of fewer items than "
                f"{manifest['items_per_instance']}; {manifest['validation_instances']:,} held out\n"
                f"{manifest['trained_tokens']:,} trained tokens, {manifest['read_tokens']:,} read; an instance has "
                f"{manifest['read_tokens'] / instances:.0f} on average, {manifest['longest_instance']:,} at most"
            )
        ),
        soft_wrap=True,
    )


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr for the step that is under way; nothing where stderr is no terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = errors()
    if not console.is_terminal:
        yield lambda step, done, of: None
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def tell(step: str, done: int, of: int) -> None:
            bar.update(task, description=printable(step), completed=done, total=of or None)

        yield tell
