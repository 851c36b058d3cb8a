"""The command: `python -m xmguard_research.vllm_speed`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xmguard.cli.terminal import stated_errors
from xmguard_research.speed.report import read
from xmguard_research.vllm_speed.run import EXPERIMENTS, Settings, run
from xmguard_research.vllm_speed.show import as_json, table


def main(
    model: Annotated[
        str, typer.Option(help="Model name or folder; --quick takes a tiny one with random weights.")
    ] = "",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    rounds: Annotated[int, typer.Option(min=2, help="Rounds in which every variant is run once.")] = 5,
    batch: Annotated[int, typer.Option(min=1, help="Requests decoded together.")] = 16,
    prompt: Annotated[int, typer.Option(min=64, help="Tokens of each of their prompts.")] = 400,
    tokens: Annotated[int, typer.Option(min=2, help="Tokens that each generates.")] = 64,
    experiments: Annotated[str, typer.Option(help="Which parts to run.")] = ",".join(EXPERIMENTS),
    concurrencies: Annotated[str, typer.Option(help="How many whole answers are asked for at once.")] = "1,4,16",
    quick: Annotated[
        bool, typer.Option("--quick", help="Two rounds of little work on a tiny model: does it work at all?")
    ] = False,
    as_json_: Annotated[
        bool, typer.Option("--json", help="Print everything measured as JSON, in place of a table.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the raw samples go, round by round.")] = Path(
        "build/vllm-speed.json"
    ),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from what OUT holds of a run with these settings that was stopped.")
    ] = False,
    minutes: Annotated[
        float, typer.Option(min=0, help="Begin nothing more after these: what is missing is left for --resume.")
    ] = 20.0,
) -> None:
    """Measure what xmguard costs inside vLLM, and what it saves, as ratios.

    Variants take turns in one run; a ratio is the median of the ratios within
    each round, with a 95% bootstrap interval over rounds. Above 1 is better
    than the baseline that its line names. All engines are loaded at once and
    idle while another one is timed: close other programs, and see how wide the
    intervals are before a number is believed. The load average at the start is
    part of what is printed. SIGTERM and Ctrl-C end every engine.
    """
    signal.signal(signal.SIGTERM, _end)
    chosen = tuple(experiments.split(","))
    if unknown := sorted(set(chosen) - set(EXPERIMENTS)):
        raise typer.BadParameter(f"--experiments does not know {', '.join(unknown)}; known: {', '.join(EXPERIMENTS)}")
    try:
        at_once = tuple(int(part) for part in concurrencies.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"--concurrencies takes whole numbers with commas, not {concurrencies!r}") from error
    if min(at_once) < 1:
        raise typer.BadParameter(f"--concurrencies takes numbers from 1 on, not {concurrencies!r}")
    settings = Settings(model, dtype, rounds, batch, prompt, tokens, chosen, minutes, at_once)
    before = read(out) if resume and out.exists() else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=None)
        report = run(
            settings.quick() if quick else settings,
            tell=lambda what, done, in_all: bar.update(task, description=what, completed=done, total=in_all),
            keep=lambda grown: grown.write(out),
            before=before,
        )
    if as_json_:
        print(as_json(report), end="")
    else:
        # A pipe has no width; what it leads to usually scrolls.
        console = Console() if sys.stdout.isatty() else Console(width=160)
        for part in table(report):
            console.print(part)


def _end(number: int, frame: object) -> None:
    """Leave by the way on which everything that is open is closed; a second signal does not cut that short."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    with stated_errors():
        typer.run(main)
