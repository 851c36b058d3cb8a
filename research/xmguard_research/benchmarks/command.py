"""`xmguard bench`: a thin front of inspect_ai for our suites. Whatever it does, `inspect eval` does as well.

Heavy modules are imported when a command runs. Knows no suite by name.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from xmguard.errors import SetupIncomplete, XmguardError
from xmguard_research.analyses.command import analyse

if TYPE_CHECKING:
    from xmguard_research.benchmarks.summary import Row

app = typer.Typer(help="Measure whether models see that sources contradict each other.", no_args_is_help=True)
app.command("analyse")(analyse)

Logs = Annotated[Path, typer.Option("--log-dir", help="Folder of the logs; the same command goes on there.")]


@app.command("list")
def suites(
    suite: Annotated[str | None, typer.Argument(help="Show this one's options.", show_default=False)] = None,
) -> None:
    """The suites that `run` knows, or the options of one."""
    found = _suites()
    registry = found.with_suites()
    if suite is None:
        table = Table("suite", "what is in it")
        for provider in registry.benchmarks:
            table.add_row(provider.name, provider.summary)
    else:
        table = Table("option", "default")
        for name, parameter in found.options(found.loaded(found.named(suite, registry))).items():
            table.add_row(name, "" if parameter.default is parameter.empty else repr(parameter.default))
    Console().print(table)


@app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A suite of `xmguard bench list`.")],
    model: Annotated[
        str, typer.Option(help="A model of ours (smollm2, a folder), or inspect's PROVIDER/NAME: openai/gpt-5.")
    ] = "smollm2",
    log_dir: Logs = Path("build/bench"),
    prompts: Annotated[str, typer.Option(help="Of standard, instructed, explicit.")] = "standard,instructed,explicit",
    items: Annotated[
        int | None, typer.Option(min=1, help="Only so many items, each with all its variants, orders and twins.")
    ] = None,
    judge: Annotated[str, typer.Option(help="A judge of `python -m xmguard_research.judge`.")] = "rules",
    judge_model: Annotated[str, typer.Option(help="For --judge openai: the model that judges.")] = "",
    judge_url: Annotated[str, typer.Option(help="For --judge openai: its endpoint, http://HOST/v1.")] = "",
    judge_file: Annotated[str, typer.Option(help="For --judge openai: what it is told, in place of ours.")] = "",
    judge_timeout: Annotated[float | None, typer.Option(help="For --judge openai: seconds for one attempt.")] = None,
    judge_retries: Annotated[int | None, typer.Option(min=0, help="For --judge openai: further attempts.")] = None,
    policy: Annotated[str, typer.Option(help="Rebalancing, for models of ours: none, fixed, target, ...")] = "none",
    epsilon: Annotated[float | None, typer.Option(help="Nats on the later source, with --policy fixed.")] = None,
    parameters: Annotated[str, typer.Option(help="The policy's own: share.s2=0.5,...")] = "",
    scope: Annotated[str, typer.Option(help="Rows that read under the bias: readers, all, generated.")] = "readers",
    protocol: Annotated[str, typer.Option(help="As xmguard asks, or as the paper does: paper.")] = "xmguard",
    prompt_file: Annotated[str, typer.Option(help="With --protocol paper: its words, TOML or .json.")] = "",
    pairing: Annotated[str, typer.Option(help="figure5: which prompt and which source the bias go with.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="That a response may have.")] = 64,
    temperature: Annotated[float, typer.Option(min=0, help="Of sampling; 0 is greedy.")] = 0.0,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-T", metavar="NAME=VALUE", help="Of the suite: see `xmguard bench list SUITE`."),
    ] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option("--argument", "-M", metavar="NAME=VALUE", help="Of the model: device=cuda, dtype=bfloat16."),
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="Exit with 1 if any sample failed, or lacks judgement, verdict or bias.")
    ] = False,
) -> None:
    """Ask a model every question of a suite, judge what it says, and show what was detected.

    What was answered is kept in the logs: after a kill, the same command asks only what is missing.
    """
    found = _suites()
    from inspect_ai import eval_set

    from xmguard_research.benchmarks.summary import DETECTION, answered, cells

    told: dict[str, Any] = {
        "prompts": prompts,
        "items": items,
        "judge": judge,
        "judge_model": judge_model,
        "judge_url": judge_url,
        "judge_file": judge_file,
        "judge_timeout": judge_timeout,
        "judge_retries": judge_retries,
        "policy": policy,
        "epsilon": epsilon,
        "parameters": parameters,
        "scope": scope,
        "protocol": protocol,
        "prompt_file": prompt_file,
        "pairing": pairing,
        "max_tokens": max_tokens,
        "temperature": temperature,
    } | found.told(option)
    task = found.make(suite, told, found.with_suites())
    asked = model if "/" in model and not Path(model).exists() else f"xmguard/{model}"
    done, logs = eval_set(
        task,
        model=asked,
        model_args=found.told(argument, "argument"),
        log_dir=str(log_dir),
        # A run in which samples failed is not done, though it goes on to its end: the same command asks them again.
        fail_on_error=True,
        continue_on_fail=True,
        retry_attempts=1,
        log_dir_allow_dirty=True,
    )
    rows = answered(log_dir, {Path(log.location).name for log in logs})
    failed = {row.sample: row.failed for row in rows if row.failed}
    unjudged = sum(row.found is None and not row.failed for row in rows)
    _show(rows)
    for reason, samples in _by_reason(failed).items():
        typer.echo(f"{len(samples)} failed, {samples[0]} for one: {reason}", err=True)
    for log in logs:
        if log.error is not None:
            typer.echo(f"not done: {log.error.message}; the same command asks what is missing", err=True)
    responses = len({row.sample for row in rows}) - len(failed)
    typer.echo(f"{responses} responses, {unjudged} not judged, {len(failed)} failed; logs: {log_dir}")
    unchecked = sum(cell.unchecked for key, cell in cells(rows).items() if key.measure == DETECTION)
    if unchecked:
        typer.echo(f"{unchecked} responses have no verdict", err=True)
    unsteered = {row.sample: row.not_steered for row in rows if row.not_steered}
    for reason, samples in _by_reason(unsteered).items():
        typer.echo(f"{len(samples)} not steered, {samples[0]} for one: {reason}", err=True)
    typer.echo(f"for the report: xmguard bench report {shlex.quote(str(log_dir))}")
    if not responses or (strict and (failed or unjudged or unchecked or unsteered or not done)):
        raise typer.Exit(1)


@app.command()
def table(log_dir: Logs = Path("build/bench")) -> None:
    """The tables of everything in a folder of logs."""
    _suites()
    from xmguard_research.benchmarks.missing import unasked
    from xmguard_research.benchmarks.summary import answered

    try:
        rows = answered(log_dir)
    except FileNotFoundError as error:
        raise XmguardError(f"{error}; xmguard bench run writes some") from error
    _show(rows)
    for one in unasked(log_dir, rows):
        run_of = f"{one.suite}, {one.model}{', ' if one.setting else ''}{one.setting}"
        typer.echo(f"not done: {one.samples} samples of {run_of} were not asked yet", err=True)


@app.command()
def report(
    log_dir: Annotated[Path, typer.Argument(help="Folder of the logs, and of analyses below it.")] = Path(
        "build/bench"
    ),
    out: Annotated[Path | None, typer.Option(help="Folder for the report; LOG_DIR/report.", show_default=False)] = None,
    responses: Annotated[int, typer.Option(min=0, help="That the page holds of each cell; the CSV has all.")] = 60,
) -> None:
    """Write a page with every number and what is behind it, and the numbers as CSV, JSON and Markdown."""
    _suites()
    from xmguard_research.reports.writing import write

    try:
        typer.echo(f"wrote {write(log_dir, out or log_dir / 'report', in_a_cell=responses)}")
    except FileNotFoundError as error:
        raise XmguardError(f"{error}; xmguard bench run writes some") from error


def _by_reason(said: Mapping[str, str]) -> dict[str, list[str]]:
    """Samples by the first line of what is said of them."""
    found: dict[str, list[str]] = {}
    for sample, reason in said.items():
        found.setdefault(reason.splitlines()[0], []).append(sample)
    return found


def _show(rows: Sequence[Row]) -> None:
    """Rates, and below them the numbers that are a suite's own: laid out for a terminal, as Markdown for all else."""
    from xmguard_research.benchmarks import console, derived
    from xmguard_research.benchmarks.summary import markdown

    registry = _suites().with_suites()
    if sys.stdout.isatty():
        console.show(rows, derived.numbers(rows, registry), Console())
    else:
        typer.echo("\n\n".join(filter(None, [markdown(rows), derived.markdown(rows, registry)])))


def _suites() -> Any:
    try:
        from xmguard_research.benchmarks import suites
    except ImportError as error:
        raise SetupIncomplete(f'a package is missing ({error}); run: pip install "xmguard[research]"') from error
    return suites
