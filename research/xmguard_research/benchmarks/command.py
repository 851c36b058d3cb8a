"""`xmguard bench`: a thin front of inspect_ai for our suites. Whatever it does, `inspect eval` does as well.

Heavy modules are imported when a command runs. Knows no suite by name: those are the tasks of `tasks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from xmguard.errors import InvalidRequest, XmguardError
from xmguard_research.analyses.command import analyse

app = typer.Typer(help="Measure whether models see that sources contradict each other.", no_args_is_help=True)
app.command("analyse")(analyse)

Logs = Annotated[Path, typer.Option("--log-dir", help="Folder of the logs; the same command goes on there.")]


@app.command("list")
def suites() -> None:
    """The suites that `run` knows."""
    table = Table("suite", "what it asks")
    for name, made in _suites().items():
        table.add_row(name, (made.__doc__ or "").strip().splitlines()[0])
    Console().print(table)


@app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A suite of `xmguard bench list`.")],
    model: Annotated[
        str, typer.Option(help="A model of ours (smollm2, a folder), or inspect's PROVIDER/NAME: openai/gpt-5.")
    ] = "smollm2",
    log_dir: Logs = Path("build/bench"),
    prompts: Annotated[str, typer.Option(help="Of standard, instructed, explicit.")] = "standard,instructed,explicit",
    judge: Annotated[str, typer.Option(help="A judge of `python -m xmguard_research.judge`.")] = "rules",
    policy: Annotated[str, typer.Option(help="Rebalancing, for models of ours: none, fixed, ...")] = "none",
    epsilon: Annotated[float | None, typer.Option(help="Nats on the later source, with --policy fixed.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many samples, drawn at random.")] = None,
    strict: Annotated[bool, typer.Option(help="Exit with 1 if a sample failed or could not be judged.")] = False,
) -> None:
    """Ask a model every question of a suite, judge what it says, and show what was detected.

    What was answered is kept in the logs: after a kill, the same command asks only what is missing.
    """
    from inspect_ai import eval_set

    from xmguard_research.benchmarks.summary import answered, markdown

    made = _suites().get(suite)
    if made is None:
        raise InvalidRequest.field("suite", f"there is no {suite!r}; there are {', '.join(_suites())}")
    task = made(prompts=prompts, judge=judge, policy=policy, epsilon=epsilon)
    asked = model if "/" in model and not Path(model).exists() else f"xmguard/{model}"
    done, logs = eval_set(
        task,
        model=asked,
        log_dir=str(log_dir),
        limit=limit,
        sample_shuffle=0 if limit else None,
        fail_on_error=False,
        retry_attempts=1,
        log_dir_allow_dirty=True,
    )
    rows = answered(log_dir)
    typer.echo(markdown(rows))
    failed = sum(1 for log in logs for sample in log.samples or [] if sample.error is not None)
    unjudged = sum(row.reported is None for row in rows)
    typer.echo(f"{len(rows)} responses, {unjudged} not judged, {failed} failed; logs: {log_dir}")
    if strict and (failed or unjudged or not done):
        raise typer.Exit(1)


@app.command()
def table(log_dir: Logs = Path("build/bench")) -> None:
    """The table of what was run, again."""
    from xmguard_research.benchmarks.summary import answered, markdown

    try:
        typer.echo(markdown(answered(log_dir)))
    except FileNotFoundError as error:
        raise XmguardError(f"{error}; xmguard bench run writes some") from error


def _suites() -> dict[str, Any]:
    from xmguard_research.benchmarks.tasks import clqa, clqa_mini

    return {"clqa": clqa, "clqa-mini": clqa_mini}
