"""Logs of suites as rows and tables: by setting, prompt and variant, what was detected and what was a false alarm.

A row is what one scorer found in one response. Nothing is pooled over variants, prompts or settings; intervals are over
items. What failed and what nobody could judge is counted beside every rate. Knows no task and no model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from inspect_ai.log import EvalLog, EvalSample, list_eval_logs, read_eval_log

from xmguard_research.benchmarks.labels import model_label, suite_label
from xmguard_research.benchmarks.scoring import BESIDE_THE_POINT, NOT_STEERED
from xmguard_research.metrics import Estimate, share

DETECTION = "says_conflict"
"""The scorer whose rows are conflicts and controls. Rows of any other are shares of what it looks for."""


_UNREAD = {"messages", "events", "store"}
"""Of samples: what led to a response, which the viewer of inspect_ai shows and no number is made of."""


class Asking(NamedTuple):
    """Who was asked what how: whose rows go together."""

    suite: str
    model: str
    setting: str

    @classmethod
    def of(cls, key: Key) -> Asking:
        """The part of a key."""
        return cls(key.suite, key.model, key.setting)


class Key(NamedTuple):
    """What a rate is of."""

    suite: str
    """With its own options."""
    model: str
    """With the arguments that it was loaded with."""
    setting: str
    """Of rebalancing, judge and protocol; empty as they come."""
    prompt: str
    variant: str
    measure: str
    """The scorer."""


@dataclass(frozen=True)
class Row:
    """What one scorer found in one response."""

    key: Key
    sample: str
    """Its id in the suite."""
    item: str
    conflict: bool | None
    """Whether the sources contradict each other; None where a suite does not ask."""
    found: bool | None
    """None where the judge had no word, or the sample failed."""
    decision: str | None = None
    """The guard's; None of other models, or where the check did not come to one."""
    failed: str = ""
    """Why there is no response."""
    log: str = ""
    """File that holds it."""
    amounts: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What the scorer measured beside that, by name."""
    check: str = ""
    """Status of the guard's check; empty of models that give no verdict."""
    not_steered: str = ""
    """Why a response that was to be steered was not."""


@dataclass(frozen=True)
class Cell:
    """Rows of one key."""

    rows: tuple[Row, ...]

    def of(self, conflict: bool | None) -> tuple[Row, ...]:
        """Its conflicts, its controls, or for None all of its rows."""
        return self.rows if conflict is None else tuple(row for row in self.rows if row.conflict is conflict)

    def rate(self, conflict: bool | None = None) -> Estimate | None:
        """Share of judged rows in which the scorer found what it looks for; None where nothing was judged."""
        return _share([(row.item, row.found) for row in self.of(conflict)])

    def called(self, conflict: bool) -> Estimate | None:
        """Share of checked rows that the guard's verdict calls CONFLICT; None where nothing was checked."""
        return _share(
            [(row.item, None if row.decision is None else row.decision == "CONFLICT") for row in self.of(conflict)]
        )

    @property
    def failed(self) -> int:
        """Samples without a response."""
        return sum(bool(row.failed) for row in self.rows)

    @property
    def unjudged(self) -> int:
        """Responses that nobody could judge."""
        return sum(row.found is None and not row.failed for row in self.rows)

    @property
    def unchecked(self) -> int:
        """Responses of a model that gives verdicts whose check did not come to one."""
        return sum(bool(row.check) and row.decision is None for row in self.rows)

    @property
    def unsteered(self) -> int:
        """Responses that were to be steered and were not."""
        return sum(bool(row.not_steered) for row in self.rows)


def answered(folder: Path, only: Collection[str] | None = None) -> list[Row]:
    """The rows of every log in a folder; of a sample that was asked again, the newest.

    `only` has the names of the logs that count, as a later run may have asked some of the same samples; None is all.

    Raises:
        FileNotFoundError: there is no log.
    """
    counted = (log for log in logs(folder) if only is None or Path(log.location).name in only)
    return newest(row for log in counted for row in rows_of(log))


def logs(folder: Path) -> Iterator[EvalLog]:
    """The logs of suites in a folder, oldest first: each is read when it is its turn, without transcripts.

    Raises:
        FileNotFoundError: there is no log.
    """
    found = list_eval_logs(str(folder), descending=False)
    if not found:
        raise FileNotFoundError(f"{folder} holds no log of inspect_ai")
    for info in found:
        log = read_eval_log(info, resolve_attachments=True, exclude_fields=_UNREAD)
        if "suite" in (log.eval.metadata or {}):
            yield log


def rows_of(log: EvalLog) -> list[Row]:
    """What the scorers of a suite's log found in its samples."""
    return [row for sample in log.samples or [] for row in _of_sample(sample, log, log.eval.metadata or {})]


def newest(rows: Iterable[Row]) -> list[Row]:
    """The last row of every key and sample; one that failed gives way to an earlier one that did not."""
    found: dict[tuple[Key, str], Row] = {}
    for row in rows:
        older = found.get((row.key, row.sample))
        if older is None or older.failed or not row.failed:
            found[row.key, row.sample] = row
    return list(found.values())


def _of_sample(sample: EvalSample, log: EvalLog, about: dict[str, Any]) -> Iterator[Row]:
    own = sample.metadata
    failed = "" if sample.error is None else sample.error.message
    scores = sample.scores or {}
    for measure in [scorer.name for scorer in log.eval.scorers or []]:
        key = Key(suite_label(log), model_label(log), about["setting"], own["prompt"], own["variant"], measure)
        score = scores.get(measure)
        said: dict[str, Any] = {} if score is None else score.metadata or {}
        # Of a sample that failed no scorer says so itself.
        if said.get(BESIDE_THE_POINT) or (measure == DETECTION and own["conflict"] is None):
            continue
        yield Row(
            key,
            str(sample.id),
            own["item"],
            own["conflict"],
            said.get("reported"),
            said.get("decision") if said.get("check") == "OK" else None,
            failed or ("" if score is not None else "it was not scored"),
            log.location,
            said.get("amounts", {}),
            said.get("check", ""),
            said.get(NOT_STEERED, ""),
        )


def cells(rows: Iterable[Row]) -> dict[Key, Cell]:
    """Rows by what a rate is of."""
    grouped: dict[Key, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.key, []).append(row)
    return {key: Cell(tuple(own)) for key, own in sorted(grouped.items())}


def markdown(rows: Sequence[Row]) -> str:
    """Tables of every cell: detection, and whatever other scorers looked for."""
    made = cells(rows)
    detection = {key: cell for key, cell in made.items() if key.measure == DETECTION}
    others = {key: cell for key, cell in made.items() if key.measure != DETECTION}
    tables = []
    if detection:
        head = ["conflicts said", "false alarms", "conflicts called CONFLICT", "controls called CONFLICT"]
        counts = ["conflicts", "controls", "not judged", "no verdict", "not steered", "failed"]
        tables.append(table([*_NAMED, *head, *counts], [_detection(key, cell) for key, cell in detection.items()]))
    if others:
        head = ["measure", "share", "responses", "not judged", "not steered", "failed"]
        tables.append(table([*_NAMED, *head], [_measure(key, cell) for key, cell in others.items()]))
    return "\n\n".join(tables)


_NAMED = ("suite", "model", "setting", "prompt", "variant")


def _detection(key: Key, cell: Cell) -> list[str]:
    rates = [shown(cell.rate(True)), shown(cell.rate(False)), shown(cell.called(True)), shown(cell.called(False))]
    counts = [len(cell.of(True)), len(cell.of(False)), cell.unjudged, cell.unchecked, cell.unsteered, cell.failed]
    return [*key[:5], *rates, *map(str, counts)]


def _measure(key: Key, cell: Cell) -> list[str]:
    return [*key, shown(cell.rate()), *map(str, [len(cell.rows), cell.unjudged, cell.unsteered, cell.failed])]


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def shown(rate: Estimate | None) -> str:
    """A rate with its interval."""
    if rate is None or rate.value is None or rate.low is None or rate.high is None:
        return "–"
    return f"{rate.value:.0%} [{rate.low:.0%}, {rate.high:.0%}]"


def _share(rows: Sequence[tuple[str, bool | None]]) -> Estimate | None:
    said = [(item, found) for item, found in rows if found is not None]
    return share([found for _, found in said], [item for item, _ in said]) if said else None
