"""The command: `python -m xmguard_research.verdict`.

    python -m xmguard_research.verdict --statements statements.jsonl --items 40 --model smollm2 --out verdict

Scores pairs without a model always, by a guard's verdict and the explicit prompt with `--model`, by a model of natural
language inference with `--nli`. What a model said is written down pair by pair, and not asked again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markdown import Markdown

from xmguard import AnswerRequest, Guard, Span, load_guard
from xmguard.errors import InvalidRequest, Reason
from xmguard_research.results import append, known, producer
from xmguard_research.verdict import baselines, crosslingual, explicit, nli
from xmguard_research.verdict.explicit import ExplicitPrompt
from xmguard_research.verdict.figures import calibration, roc
from xmguard_research.verdict.irrelevant import with_conflicts
from xmguard_research.verdict.nli import Nli
from xmguard_research.verdict.pairs import Pair
from xmguard_research.verdict.report import Row, by_yardstick, markdown
from xmguard_research.verdict.statements import four_way_pairs, read_items
from xmguard_research.verdict.templates import YARDSTICK as TEMPLATES
from xmguard_research.verdict.templates import template_items

TOO_LONG = "TOO LONG"
"""Decision of a pair that does not fit into the model's context."""
NEUTRAL = {**baselines.NEUTRAL, explicit.NAME: explicit.NEUTRAL, nli.NAME: nli.NEUTRAL}


@dataclass(frozen=True)
class Judged:
    """What a guard said of a pair."""

    key: str
    """The pair's content."""
    decision: str
    probability: float | None
    explicit: float | None
    produced_by: str


@dataclass(frozen=True)
class Inferred:
    """What a model of natural language inference said of a pair."""

    key: str
    """The pair's content."""
    score: float | None
    produced_by: str


def judge(guard: Guard, asked: ExplicitPrompt, pair: Pair) -> list[Judged]:
    """The verdict and the explicit prompt's score."""
    spans = tuple(Span(text=text, language=language) for text, language in zip(pair.texts, pair.languages, strict=True))
    try:
        verdict = guard.check(AnswerRequest(spans=spans, question=pair.question)).verdict
    except InvalidRequest as error:
        if error.reason is not Reason.PROMPT_TOO_LONG:
            raise
        return [Judged(pair.content, TOO_LONG, None, None, producer(guard))]
    return [Judged(pair.content, verdict.decision.name, verdict.probability, asked.score(pair), producer(guard))]


def main(
    statements: Annotated[
        Path | None, typer.Option(help="JSONL of items with question, support, contradict and changed_answer.")
    ] = None,
    parallel: Annotated[
        Path | None, typer.Option(help="JSONL of paragraphs in several languages with question and answer.")
    ] = None,
    templates: Annotated[int, typer.Option(min=0, help="How many invented items.")] = 0,
    items: Annotated[int | None, typer.Option(min=1, help="How many items to draw of each yardstick; all.")] = None,
    seed: Annotated[int, typer.Option(help="Which are drawn, and what is put in where something is changed.")] = 0,
    model: Annotated[str | None, typer.Option(help="Model name or folder whose verdict is to be scored.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    nli_folder: Annotated[
        Path | None, typer.Option("--nli", help="Folder of a sequence-classification model, as a baseline.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report, its pictures, and all scores.")] = Path("verdict"),
) -> None:
    """Score verdicts and baselines on labelled pairs."""
    pairs = [pair for drawn in _yardsticks(statements, parallel, templates, seed) for pair in _draw(drawn, items, seed)]
    if not pairs:
        raise typer.BadParameter("no yardstick; give --statements FILE, --parallel FILE or --templates NUMBER")
    distinct = list({pair.content: pair for pair in pairs}.values())
    judged: dict[str, Judged] = {}
    inferred: dict[str, Inferred] = {}
    if model is not None:
        guard = load_guard(model, dtype=dtype)
        path = out / "judged.jsonl"
        judged = known(path, Judged, producer(guard))
        missing = [pair for pair in distinct if pair.content not in judged]
        measure: Callable[[Pair], list[Judged]] = partial(judge, guard, ExplicitPrompt(guard))
        judged |= {row.key: row for row in append(path, missing, measure, "judging pairs")}
    if nli_folder is not None:
        made_by = str(nli_folder.resolve())
        classifier = Nli(nli_folder)
        path = out / "nli.jsonl"
        inferred = known(path, Inferred, made_by)
        missing = [pair for pair in distinct if pair.content not in inferred]
        inferred |= {
            row.key: row
            for row in append(
                path, missing, lambda pair: [Inferred(pair.content, classifier.score(pair), made_by)], "inferring"
            )
        }
    rows = _rows(pairs, judged, inferred)
    notes = []
    if parallel is not None:
        read = crosslingual.read_parallel(parallel)
        notes = [crosslingual.kinds(read, other, seed=seed) for other in crosslingual.OTHERS]
    out.mkdir(parents=True, exist_ok=True)
    _write(rows, out / "scores.jsonl")
    text = markdown(rows, NEUTRAL, notes)
    (out / "report.md").write_text(text, encoding="utf-8")
    roc(rows, NEUTRAL, out / "roc.png")
    calibration(rows, out / "reliability.png")
    Console().print(Markdown(text))


def _yardsticks(statements: Path | None, parallel: Path | None, templates: int, seed: int) -> Iterator[Sequence[Pair]]:
    if statements is not None:
        items = read_items(statements)
        yield list(four_way_pairs(items))
        yield list(with_conflicts(items, seed=seed))
    if templates:
        invented = template_items(templates, seed=seed)
        yield list(four_way_pairs(invented, TEMPLATES))
        yield list(with_conflicts(invented, seed=seed, yardstick=f"{TEMPLATES}-irrelevant"))
    if parallel is not None:
        rows = crosslingual.read_parallel(parallel)
        for other in crosslingual.OTHERS:
            yield list(crosslingual.twins(rows, other, seed=seed))
            yield list(crosslingual.four_way(rows, other, seed=seed))


def _draw(pairs: Sequence[Pair], items: int | None, seed: int) -> list[Pair]:
    """The pairs of as many items, in the order in which they were drawn."""
    by_item: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_item.setdefault(pair.item, []).append(pair)
    order = np.random.default_rng(seed).permutation(sorted(by_item))[:items]
    return [pair for item in order for pair in by_item[str(item)]]


def _rows(pairs: Sequence[Pair], judged: dict[str, Judged], inferred: dict[str, Inferred]) -> list[Row]:
    rows = []
    for own in by_yardstick([Row(pair, {}) for pair in pairs]).values():
        of_one = [row.pair for row in own]
        found = dict(baselines.without_model(of_one))
        if judged:
            found[explicit.NAME] = [judged[pair.content].explicit for pair in of_one]
        if inferred:
            found[nli.NAME] = [inferred[pair.content].score for pair in of_one]
        for place, pair in enumerate(of_one):
            scores = {name: values[place] for name, values in found.items()}
            said = judged.get(pair.content)
            rows.append(Row(pair, scores, said.decision if said else "", said.probability if said else None))
    return rows


def _write(rows: Sequence[Row], path: Path) -> None:
    """Every score, without the texts: their licences are their owners' business."""
    lines = (
        {
            "key": row.pair.key,
            "item": row.pair.item,
            "yardstick": row.pair.yardstick,
            "label": row.pair.label.value,
            "decision": row.decision,
            "probability": row.probability,
            "scores": row.scores,
        }
        for row in rows
    )
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
