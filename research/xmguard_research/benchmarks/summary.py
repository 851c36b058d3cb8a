"""Logs of conflict suites as a table: by prompt and variant, what was detected and what was a false alarm.

Intervals are of a bootstrap over items. Knows no task and no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inspect_ai.log import list_eval_logs, read_eval_log

from xmguard_research.metrics import Bootstrap, Estimate, detection_rates
from xmguard_research.metrics.detection import Detection


@dataclass(frozen=True)
class Answered:
    """One response of a log."""

    suite: str
    model: str
    prompt: str
    variant: str
    item: str
    conflict: bool
    reported: bool | None
    """By the judge; None where it had no word."""
    decision: str | None
    """The guard's; None of other models, or where the check did not come to one."""


@dataclass(frozen=True)
class Cell:
    """Responses of one suite, model, prompt and variant."""

    rows: tuple[Answered, ...]

    @property
    def judged(self) -> Detection:
        """By what the responses say."""
        return detection_rates([row.conflict for row in self.rows], [row.reported for row in self.rows])

    @property
    def guarded(self) -> Detection | None:
        """By the guard's verdict, UNDETERMINED being no report; None where there is none."""
        if any(row.decision is None for row in self.rows):
            return None
        return detection_rates([row.conflict for row in self.rows], [row.decision == "CONFLICT" for row in self.rows])

    def rate(self, conflict: bool, *, verdict: bool = False) -> Estimate | None:
        """Share of conflicts, or of controls, that are reported, with its interval; None where nothing was judged."""
        said = [
            (row.item, row.decision == "CONFLICT" if verdict else row.reported)
            for row in self.rows
            if row.conflict is conflict and (row.decision if verdict else row.reported) is not None
        ]
        if not said:
            return None
        found = [float(bool(report)) for _, report in said]
        return Bootstrap([item for item, _ in said]).of_sums(
            lambda hits, asked: hits / asked, found, [1.0] * len(found)
        )


def answered(folder: Path) -> list[Answered]:
    """The scored responses of every log in a folder, the newest of each sample.

    Raises:
        FileNotFoundError: there is no log.
    """
    logs = list_eval_logs(str(folder), descending=False)
    if not logs:
        raise FileNotFoundError(f"{folder} holds no log of inspect_ai")
    found: dict[tuple[str, str, str], Answered] = {}
    for info in logs:
        log = read_eval_log(info)
        suite = str((log.eval.metadata or {}).get("suite", log.eval.task))
        for sample in log.samples or []:
            score = (sample.scores or {}).get("says_conflict")
            if score is None:
                continue
            about, said = sample.metadata, score.metadata or {}
            found[suite, log.eval.model, str(sample.id)] = Answered(
                suite,
                log.eval.model,
                about["prompt"],
                about["variant"],
                about["item"],
                about["conflict"],
                said["reported"],
                said.get("decision") if said.get("check") == "OK" else None,
            )
    return list(found.values())


def cells(rows: Iterable[Answered]) -> dict[tuple[str, str, str, str], Cell]:
    """Rows by suite, model, prompt and variant; orders and prompts are never pooled."""
    grouped: dict[tuple[str, str, str, str], list[Answered]] = {}
    for row in rows:
        grouped.setdefault((row.suite, row.model, row.prompt, row.variant), []).append(row)
    return {key: Cell(tuple(own)) for key, own in sorted(grouped.items())}


def markdown(rows: Sequence[Answered]) -> str:
    """A table of every cell."""
    lines = [
        "| suite | model | prompt | variant | conflicts | reported | controls | false alarms | unjudged | verdict: "
        "conflicts called CONFLICT | verdict: controls called CONFLICT |",
        "|" + "---|" * 11,
    ]
    for (suite, model, prompt, variant), cell in cells(rows).items():
        found = cell.judged
        conflicts = sum(row.conflict for row in cell.rows)
        rates = [
            _shown(cell.rate(True)),
            str(len(cell.rows) - conflicts),
            _shown(cell.rate(False)),
            str(found.unjudged_conflicts + found.unjudged_controls),
            _shown(cell.rate(True, verdict=True)),
            _shown(cell.rate(False, verdict=True)),
        ]
        lines.append(f"| {suite} | {model} | {prompt} | {variant} | {conflicts} | " + " | ".join(rates) + " |")
    return "\n".join(lines)


def _shown(rate: Estimate | None) -> str:
    if rate is None or rate.value is None or rate.low is None or rate.high is None:
        return "–"
    return f"{rate.value:.0%} [{rate.low:.0%}, {rate.high:.0%}]"
