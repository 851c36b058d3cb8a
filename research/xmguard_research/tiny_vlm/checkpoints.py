"""Where a run's checkpoints and its log lie, which checkpoints are whole, and what is thrown away to go on from one.

Knows no model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

TRAINED, SPENT, MACHINES = "trained.safetensors", "budget.json", "machines.json"
LOG = "log.jsonl"
_STATE = "trainer_state.json"
_PREFIX = "checkpoint-"


@dataclass(frozen=True)
class Checkpoint:
    """A whole one: the loop wrote its own state last."""

    folder: Path
    steps: int
    """Made until then."""
    passes: float
    """Over the examples."""


def newest(run: Path, stage: str) -> Checkpoint | None:
    """The whole checkpoint of the most steps, if there is one."""
    return next((found for one in reversed(_all(run / stage)) if (found := _whole(one)) is not None), None)


def resumable(run: Path, stage: str, tell: Callable[[str], None]) -> Checkpoint | None:
    """The checkpoint that a stage goes on from, with nothing left of what was done after it."""
    for one in _all(run / stage):
        if _whole(one) is None:
            tell(f"{one} was being written when the run was stopped: deleted")
            shutil.rmtree(one)
    last = newest(run, stage)
    _cut(run / LOG, stage, 0 if last is None else last.steps)
    return last


def start_over(run: Path, stages: Iterable[str]) -> None:
    """Throw away the stages' checkpoints and the log."""
    for stage in stages:
        if (run / stage).exists():
            shutil.rmtree(run / stage)
    (run / LOG).unlink(missing_ok=True)


def _whole(folder: Path) -> Checkpoint | None:
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return Checkpoint(folder, state["global_step"], state["epoch"])


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_PREFIX}*"), key=lambda one: int(one.name.removeprefix(_PREFIX)))


def _cut(log: Path, stage: str, step: int) -> None:
    if not log.exists():
        return
    kept = []
    for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # the run was stopped while it was written
        row = json.loads(line)
        if row["stage"] != stage or row["step"] <= step:
            kept.append(line)
    cut = log.with_suffix(".cut")
    cut.write_text("".join(kept), encoding="utf-8")
    cut.rename(log)
