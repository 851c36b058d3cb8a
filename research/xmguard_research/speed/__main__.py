"""The command: `python -m xmguard_research.speed`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xmguard.cli.terminal import stated_errors
from xmguard_research.speed.report import Report, read
from xmguard_research.speed.show import markdown, replaced, table

WIDTH = 200
"""Columns of the table where no terminal says how many there are."""


def main(
    out: Annotated[Path, typer.Option(help="Where the raw samples go, as they come.")] = Path("speed.json"),
    contexts: Annotated[str, typer.Option(help="Context lengths in tokens.")] = "256,1024,4096",
    batches: Annotated[str, typer.Option(help="Sequences decoded together; 1 adds what one would do instead.")] = "1,8",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds in which every variant is run once.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch; without it, all cores.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    model: Annotated[str, typer.Option(help="Model name or folder.")] = "smollm2",
    experiments: Annotated[
        str, typer.Option(help="Which parts to run; the README shows a full run.")
    ] = "memory,decode,check,whole,answer",
    quick: Annotated[
        bool, typer.Option("--quick", help="Context 256, batch 1, 2 rounds, checks of 2 spans: does it work at all?")
    ] = False,
    show: Annotated[Path | None, typer.Option(help="Measure nothing; print the table of this results file.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="With --show: print the README's block.")] = False,
    readme: Annotated[Path | None, typer.Option(help="With --show: write the block into this document.")] = None,
) -> None:
    """Measure what steering and measuring cost, as ratios next to plain generation by the same model.

    Variants take turns in one process, so a busy machine slows all of them.
    A ratio is the median of the ratios within each round, with a 95% bootstrap
    interval over rounds; 1.05 means five percent more time or memory than plain
    generation. A case of "1024 tokens x 8" is a context of 1024 tokens and a
    batch of 8. "note" says whether a variant decoded what it had to: only then
    do two times belong to the same work. "met" compares the median ratio with
    the target; "instead" is what one would do without xmguard.

    Close other programs first: the results name the load average at the start.
    The full run took 40 minutes on two cores; see with --quick whether it works at all.
    """
    if show is not None:
        _show(read(show), as_markdown, readme)
        return
    if as_markdown or readme:
        raise typer.BadParameter("--markdown and --readme show results: name them with --show")
    from xmguard_research.speed.run import Settings, run

    settings = Settings(
        model=model,
        dtype=dtype,
        threads=threads or _usable_cores(),
        contexts=_numbers(contexts, "--contexts"),
        batches=_numbers(batches, "--batches"),
        repeats=repeats,
        experiments=_known(experiments),
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("loading", total=None)
        report = run(
            settings.quick() if quick else settings,
            tell=lambda what, done, in_all: bar.update(task, description=what, completed=done, total=in_all),
            keep=lambda grown: grown.write(out),
        )
    _show(report, False, None)


def _show(report: Report, as_markdown: bool, readme: Path | None) -> None:
    if readme is not None:
        try:
            text = replaced(readme.read_text(encoding="utf-8"), report)
        except ValueError as error:
            raise typer.BadParameter(f"{readme}: {error}") from error
        readme.write_text(text, encoding="utf-8")
    elif as_markdown:
        print(markdown(report))
    else:
        # A pipe has no width; what it leads to usually scrolls.
        console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
        console.print(table(report))
        for note in report.notes:
            console.print(note)


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes whole numbers with commas between them, not {text!r}") from error
    if min(numbers) < 1:
        raise typer.BadParameter(f"{option} takes numbers from 1 on, not {text!r}")
    return tuple(sorted(set(numbers)))


def _known(text: str) -> tuple[str, ...]:
    from xmguard_research.speed.run import EXPERIMENTS

    chosen = tuple(text.split(","))
    unknown = sorted(set(chosen) - set(EXPERIMENTS))
    if unknown:
        raise typer.BadParameter(f"--experiments does not know {', '.join(unknown)}; known: {', '.join(EXPERIMENTS)}")
    return chosen


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    with stated_errors():
        typer.run(main)
