"""How good is the verdict? Four-way pairs of statements, against the baseline of word overlap.

An item has two statements that support an answer and two that support another. Conflict pairs mix the sides,
consistent pairs stay on one, and every statement occurs in both, so that no single statement gives the label away.
Reports AUROC with a bootstrap clustered by item. Knows nothing of how the verdict comes about.

    python -m xmguard_research.yardstick statements.jsonl --items 40 --out yardstick.jsonl
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.metrics import roc_auc_score

from xmguard import AnswerRequest, Guard, Span, load_guard

UNKNOWN = 0.5
"""Score of a pair for which no probability was established: neither for nor against a conflict."""


@dataclass(frozen=True)
class Pair:
    """Two statements about a question."""

    item: str
    question: str
    statements: tuple[str, str]
    conflict: bool

    @property
    def key(self) -> str:
        """Identifies the pair in a results file."""
        return f"{self.item}|{self.statements[0]}|{self.statements[1]}"


@dataclass(frozen=True)
class Scored:
    """A pair and what was said of it."""

    key: str
    item: str
    conflict: bool
    probability: float | None
    """The verdict's; None where none was established."""
    decision: str
    overlap: float
    produced_by: str
    """Model hash, dtype and version; rows of another producer are not mixed in."""


def four_way_pairs(items: Sequence[Mapping[str, Any]]) -> Iterator[Pair]:
    """The four pairs of every item whose two contradicting statements name the same answer.

    Items have `id`, `question`, `support` [2], `contradict` [2] and `changed_answer` [2].
    """
    for item in items:
        first, second = (answer.strip().lower() for answer in item["changed_answer"])
        if first != second:
            continue
        support, contradict = item["support"], item["contradict"]
        for statements, conflict in (
            ((support[0], contradict[1]), True),
            ((contradict[0], support[1]), True),
            ((support[0], support[1]), False),
            ((contradict[0], contradict[1]), False),
        ):
            yield Pair(str(item["id"]), item["question"], statements, conflict)


def word_overlap(pair: Pair) -> float:
    """Share of content words that both statements have (Jaccard), the question's words and stop words left out."""
    asked = _words(pair.question)
    a, b = (_words(statement) - asked for statement in pair.statements)
    return len(a & b) / max(1, len(a | b))


def clustered_auroc(
    scored: Sequence[Scored], score: Sequence[float], *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """AUROC with the 2.5 and 97.5 percentiles of a bootstrap that draws whole items."""
    labels = np.array([row.conflict for row in scored])
    values = np.array(score)
    clusters: dict[str, list[int]] = {}
    for index, row in enumerate(scored):
        clusters.setdefault(row.item, []).append(index)
    groups = [np.array(rows) for rows in clusters.values()]
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        rows = np.concatenate([groups[index] for index in generator.integers(len(groups), size=len(groups))])
        draws.append(roc_auc_score(labels[rows], values[rows]))
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(roc_auc_score(labels, values)), float(low), float(high)


def judge(guard: Guard, pair: Pair) -> Scored:
    """Ask the guard about one pair."""
    spans = tuple(Span(text=statement, language="en") for statement in pair.statements)
    verdict = guard.check(AnswerRequest(spans=spans, question=pair.question)).verdict
    return Scored(
        pair.key,
        pair.item,
        pair.conflict,
        verdict.probability,
        verdict.decision.name,
        word_overlap(pair),
        producer(guard),
    )


def producer(guard: Guard) -> str:
    """What makes the numbers what they are."""
    stamp = guard.stamp
    return f"{stamp.model_hash} {stamp.dtype} {stamp.xmguard_version}"


def main(
    statements: Annotated[Path, typer.Argument(help="JSONL of items with support, contradict and changed_answer.")],
    items: Annotated[int, typer.Option(help="How many items to draw; each gives four pairs.")] = 40,
    seed: Annotated[int, typer.Option(help="Which items are drawn.")] = 0,
    model: Annotated[str, typer.Option(help="Model name or folder.")] = "smollm2",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    out: Annotated[Path, typer.Option(help="Results, one line a pair; what is there already is not run again.")] = Path(
        "yardstick.jsonl"
    ),
) -> None:
    """Measure the verdict on four-way pairs, next to word overlap."""
    rows = [json.loads(line) for line in statements.read_text(encoding="utf-8").splitlines() if line.strip()]
    by_item: dict[str, list[Pair]] = {}
    for pair in four_way_pairs(rows):
        by_item.setdefault(pair.item, []).append(pair)
    order = np.random.default_rng(seed).permutation(sorted(by_item))[:items]
    wanted = [pair for item in order for pair in by_item[str(item)]]
    done = {row.key: row for row in _read(out)}
    guard = load_guard(model, dtype=dtype)
    strangers = {row.produced_by for row in done.values()} - {producer(guard)}
    if strangers:
        raise typer.BadParameter(f"{out} holds results of {', '.join(strangers)}; choose another file with --out")
    missing = [pair for pair in wanted if pair.key not in done]
    if missing:
        with out.open("a", encoding="utf-8") as stream:
            for pair in track(missing, description="judging pairs", console=Console(stderr=True)):
                done[pair.key] = judge(guard, pair)
                stream.write(json.dumps(asdict(done[pair.key]), ensure_ascii=False) + "\n")
                stream.flush()
    Console().print(_table([done[pair.key] for pair in wanted]))


def _table(scored: Sequence[Scored]) -> Table:
    table = Table(title=f"{len(scored)} pairs, {len({row.item for row in scored})} items")
    for column in ("score", "AUROC", "95% CI"):
        table.add_column(column)
    columns = {
        "verdict probability": [UNKNOWN if row.probability is None else row.probability for row in scored],
        "word overlap (baseline)": [-row.overlap for row in scored],
    }
    for name, values in columns.items():
        auroc, low, high = clustered_auroc(scored, values)
        table.add_row(name, f"{auroc:.3f}", f"{low:.3f} to {high:.3f}")
    for conflict in (True, False):
        rows = [row for row in scored if row.conflict is conflict]
        for decision in ("CONFLICT", "CONSISTENT", "UNDETERMINED"):
            count = sum(row.decision == decision for row in rows)
            table.add_row(f"{'conflict' if conflict else 'consistent'} pairs called {decision}", f"{count}/{len(rows)}")
    return table


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if word not in ENGLISH_STOP_WORDS}


def _read(path: Path) -> Iterator[Scored]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Scored(**json.loads(line))


if __name__ == "__main__":
    typer.run(main)
