"""Samples that were never asked: of a run that was cut, no row says so. Knows no number."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from inspect_ai.log import list_eval_logs, read_eval_log

from xmguard_research.benchmarks.labels import model_label, suite_label
from xmguard_research.benchmarks.summary import Row


class Unasked(NamedTuple):
    """A run that is not whole."""

    suite: str
    model: str
    setting: str
    samples: int
    """That have not been asked."""


def unasked(folder: Path, rows: Iterable[Row]) -> list[Unasked]:
    """The runs in a folder that are not whole, by what their logs were to hold and which samples have rows."""
    wanted: dict[tuple[str, str, str], set[str]] = {}
    for info in list_eval_logs(str(folder)):
        log = read_eval_log(info, header_only=True)
        about = log.eval.metadata or {}
        if "suite" in about:
            run = suite_label(log), model_label(log), about["setting"]
            wanted.setdefault(run, set()).update(map(str, log.eval.dataset.sample_ids or ()))
    there: dict[tuple[str, str, str], set[str]] = {}
    for row in rows:
        there.setdefault(row.key[:3], set()).add(row.sample)
    gaps = {run: len(samples - there.get(run, set())) for run, samples in wanted.items()}
    return [Unasked(*run, gap) for run, gap in sorted(gaps.items()) if gap]
