"""What every protocol's command shares: its options, the run over jobs, several at a time, and the words at its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.generated.writer import Unwritten

T = TypeVar("T")
OPENAI = "https://api.openai.com/v1"
SHOWN = 3
"""Failures that are shown; the file has all."""

Model = Annotated[str, typer.Option(help="As the endpoint names it.")]
BaseUrl = Annotated[str, typer.Option(help="Of an OpenAI-compatible endpoint.")]
Parallel = Annotated[int, typer.Option(min=1, help="Topics or triples that are made at a time.")]
Timeout = Annotated[float, typer.Option(help="Seconds without a byte after which an attempt is given up.")]
Retries = Annotated[int, typer.Option(min=0, help="Further attempts, of a call and of a malformed reply.")]
Request = Annotated[str, typer.Option(help="More fields of the request, as JSON.")]
PromptFile = Annotated[Path | None, typer.Option(help="Templates in place of the built-in ones, TOML.")]
PriceIn = Annotated[float, typer.Option(min=0, help="Dollars for a million tokens that are read.")]
PriceOut = Annotated[float, typer.Option(min=0, help="Dollars for a million tokens that are written.")]
OnlyEstimate = Annotated[bool, typer.Option("--estimate", help="Say what it may cost, and stop.")]
Strict = Annotated[bool, typer.Option(help="Exit with 1 if anything failed.")]


@dataclass(frozen=True)
class Job(Generic[T]):
    """Something whose items are made all, or none if it raises `Unwritten`."""

    named: Mapping[str, str]
    """What the list of failures says of it."""
    make: Callable[[], list[T]]


def each(
    jobs: Callable[[], Sequence[Job[T]]], count: int, *, what: str, parallel: int, used: Callable[[], str]
) -> tuple[list[T], list[dict[str, str]]]:
    """Items of all jobs in order, and the jobs that have none, with the reason.

    Args:
        jobs: gives them; what that takes counts as a part of the run.
        count: how many there will be.
        what: they are, for the bar.
        parallel: how many at a time.
        used: what the run has used so far, in words.
    """
    made: dict[int, list[T]] = {}
    failed: dict[int, dict[str, str]] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[used]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress, ThreadPoolExecutor(parallel) as pool:
        bar = progress.add_task("writing", total=count, used=what)
        futures = {pool.submit(job.make): (number, job) for number, job in enumerate(jobs())}
        try:
            for future in as_completed(futures):
                number, job = futures[future]
                try:
                    made[number] = future.result()
                except Unwritten as failure:
                    failed[number] = {**job.named, "reason": str(failure)}
                progress.update(bar, advance=1, used=f"{len(failed)} failed, {used()}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [item for _, items in sorted(made.items()) for item in items], [row for _, row in sorted(failed.items())]


def close(failed: Sequence[Mapping[str, str]], report: Path, *, what: str, strict: bool) -> None:
    """List what failed in a file, show the first of it, and exit with 1 if that was asked for."""
    report.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in failed), encoding="utf-8")
    typer.echo(f"{len(failed)} {what} failed: {report}")
    for row in failed[:SHOWN]:
        typer.echo(f"failed: {': '.join(row.values())}", err=True)
    if strict and failed:
        raise typer.Exit(1)


def fields(name: str, text: str) -> dict[str, object]:
    """An option that holds a JSON object.

    Raises:
        InvalidRequest: it holds something else.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequest.field(name, f"is not JSON: {error}") from error
    if type(found) is not dict:
        raise InvalidRequest.field(name, "must be a JSON object")
    return dict(found)
