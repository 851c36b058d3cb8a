"""The commands: measure a judge on labelled responses, and see what a model that judges is told.

python -m xmguard_research.judge measure --split test
python -m xmguard_research.judge measure --judge openai --base-url http://localhost:8000/v1 --model NAME --out out.jsonl
python -m xmguard_research.judge prompt --judge-file mine.txt
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from xmguard.cli.terminal import stated_errors
from xmguard_research.judge.labelled import SHIPPED, SPLITS, LabelledResponse, load
from xmguard_research.judge.measuring import Quality, Rate, quality
from xmguard_research.judge.prompts import TEMPLATE, JudgePrompt, from_file
from xmguard_research.judge.settings import JudgeSettings, make, with_judges
from xmguard_research.judge.values import Exchange, Judge, Judgement, Source, Status
from xmguard_research.results import append, known

app = typer.Typer(add_completion=False, no_args_is_help=True)


@dataclass(frozen=True)
class Row:
    """One judgement, as it is written down."""

    id: str
    status: str
    mentions_conflict: bool | None
    reason: str
    reply: str
    attempts: int
    produced_by: str

    @property
    def key(self) -> str:
        """The response's id."""
        return self.id

    @property
    def judgement(self) -> Judgement:
        """The value that it was made of."""
        return Judgement(Status(self.status), self.mentions_conflict, self.reason, self.reply, self.attempts)


@app.command()
def measure(
    judge: Annotated[str, typer.Option(help="Name of a judge; one that does not exist lists them.")] = "rules",
    split: Annotated[str, typer.Option(help=f"{' or '.join(SPLITS)}; both if empty.")] = "test",
    responses: Annotated[Path, typer.Option(help="Labelled responses, JSON lines.")] = SHIPPED,
    out: Annotated[Path | None, typer.Option(help="Judgements are kept here; the same command goes on there.")] = None,
    base_url: str = "",
    model: str = "",
    judge_file: Annotated[Path | None, typer.Option(help="Prompt in place of the built-in one.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one attempt.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="Further attempts.")] = None,
    request: Annotated[str, typer.Option(help="More fields of the request, as JSON; {} for none.")] = "",
    parallel: Annotated[int, typer.Option(min=1, help="Responses that are judged at a time.")] = 4,
    wrong: Annotated[bool, typer.Option(help="List what was judged otherwise than it is labelled.")] = False,
    strict: Annotated[bool, typer.Option(help="Exit with 1 if anything could not be judged.")] = False,
) -> None:
    """Judge labelled responses, and compare with the labels, by language."""
    if split not in (*SPLITS, ""):
        raise typer.BadParameter(f"--split is one of {', '.join(SPLITS)}, not {split!r}")
    settings = JudgeSettings(base_url, model, judge_file, timeout, retries, _object(request))
    made = make(judge, settings, with_judges())
    labelled = [one for one in load(responses) if one.split == split or not split]
    rows = _rows(labelled, made, out, parallel)
    judgements = [rows[one.id].judgement for one in labelled]
    console = Console()
    console.print(_table(labelled, judgements))
    for one, by in zip(labelled, judgements, strict=True):
        if by.status is not Status.PARSED or (wrong and by.mentions_conflict is not one.says_conflict):
            console.print(f"{one.id} {one.kind} {by.status.value}: {by.reason}", markup=False, highlight=False)
    if strict and any(by.status is not Status.PARSED for by in judgements):
        raise typer.Exit(1)


@app.command()
def prompt(
    judge_file: Annotated[Path | None, typer.Option(help="Prompt in place of the built-in one.")] = None,
) -> None:
    """Show what a model is told to judge one exchange."""
    shown = JudgePrompt(TEMPLATE) if judge_file is None else from_file(judge_file)
    one = Exchange("When was it built?", "In 1904, or in 1911 by the other text.", (Source("Text 1", answer="1904"),))
    typer.echo(shown.fill(one))


def _object(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"--request is not JSON: {error}") from error
    if type(found) is not dict:
        raise typer.BadParameter("--request must be a JSON object")
    return dict(found)


def _rows(labelled: Sequence[LabelledResponse], judge: Judge, out: Path | None, parallel: int) -> dict[str, Row]:
    """Every response's judgement by id. Errors of an earlier run are asked again; the last line of an id counts."""
    before = {} if out is None else known(out, Row, judge.produced_by)
    done = {key: row for key, row in before.items() if row.status != Status.ERROR.value}
    wanted = list(_batches([one for one in labelled if one.id not in done], parallel))
    with ThreadPoolExecutor(parallel) as pool:

        def judged(batch: Sequence[LabelledResponse]) -> list[Row]:
            return list(pool.map(_judging(judge), batch))

        found = (row for batch in wanted for row in judged(batch))
        fresh = found if out is None else append(out, wanted, judged, f"judge {judge.name}")
        return done | {row.id: row for row in fresh}


def _judging(judge: Judge) -> Callable[[LabelledResponse], Row]:
    def row(one: LabelledResponse) -> Row:
        by = judge.judge(one.exchange)
        return Row(one.id, by.status.value, by.mentions_conflict, by.reason, by.reply, by.attempts, judge.produced_by)

    return row


def _batches(labelled: Iterable[LabelledResponse], size: int) -> Iterable[tuple[LabelledResponse, ...]]:
    remaining = iter(labelled)
    return iter(lambda: tuple(islice(remaining, size)), ())


def _table(labelled: Sequence[LabelledResponse], judgements: Sequence[Judgement]) -> Table:
    table = Table("responses", "n", "sensitivity", "specificity", "kappa", "malformed", "errors", box=box.SIMPLE)
    pairs = list(zip(labelled, judgements, strict=True))
    for tag in ("all", *sorted({one.language for one in labelled})):
        own = [pair for pair in pairs if tag in ("all", pair[0].language)]
        table.add_row(tag, *_cells(quality([one for one, _ in own], [by for _, by in own])))
    return table


def _cells(found: Quality) -> tuple[str, ...]:
    return (
        str(found.responses),
        _rate(found.sensitivity),
        _rate(found.specificity),
        "-" if math.isnan(found.kappa) else f"{found.kappa:.2f}",
        str(found.unjudged[Status.MALFORMED]),
        str(found.unjudged[Status.ERROR]),
    )


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.value:.2f} [{low:.2f}, {high:.2f}] {rate.hits}/{rate.total}" if rate.total else "-"


if __name__ == "__main__":
    with stated_errors():
        app()
