"""What a run found, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from xmguard_research.speed.arithmetic import Interval, paired_ratio, spread
from xmguard_research.speed.report import PLAIN, Report, Series
from xmguard_research.vllm_speed.answering import GUARD, NAIVE, OTHER, READINGS, SCORED, STEERED


@dataclass(frozen=True)
class Line:
    """How many times as fast a variant is as a baseline."""

    variant: str
    """As in the report."""
    label: str
    baseline: str
    base_label: str
    target: float | None = None


_PLAIN = "plain vLLM"
LINES: Mapping[str, tuple[Line, ...]] = {
    "kernel": (Line("compiled", "the compiled path, one layer", "torch", "the torch path"),),
    "decode": (
        Line("idle", "xmguard installed, idle", PLAIN, _PLAIN, 0.98),
        Line("steered", "every request steered", PLAIN, _PLAIN),
        Line("measured", "every request steered and measured", PLAIN, _PLAIN, 0.75),
        Line("told", "the same, with log-probabilities and entropies of every token", PLAIN, _PLAIN),
    ),
    "answers": (
        Line(GUARD, "whole answers of the guard on vLLM", NAIVE, "separate calls to plain vLLM", 2.0),
        Line(READINGS, "the same answers in one session", NAIVE, "separate calls to plain vLLM", 2.0),
        Line(STEERED, "the same, the joint one steered and measured", NAIVE, "separate calls to plain vLLM"),
        Line(GUARD, "whole answers of the guard on vLLM", SCORED, "separate calls that score the answers too"),
        Line(GUARD, "whole answers of the guard on vLLM", OTHER, "the guard on transformers"),
    ),
}
UNIT = {"kernel": "calls/s", "decode": "tokens/s", "answers": "answers/s"}


@dataclass(frozen=True)
class Finding:
    """One ratio."""

    experiment: str
    case: str
    line: Line
    rate: float
    """Median, in the experiment's `UNIT`."""
    base_rate: float
    ratio: Interval

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None without one."""
        return None if self.line.target is None else self.ratio.value >= self.line.target


def findings(report: Report) -> Iterator[Finding]:
    """Every ratio that the report holds."""
    for experiment, lines in LINES.items():
        rows = [row for row in report.series if row.experiment == experiment]
        for case in {json.dumps(row.case): row.case for row in rows}.values():
            mine = {row.variant: row for row in rows if row.case == case}
            for line in lines:
                if line.variant in mine and line.baseline in mine:
                    yield _finding(mine[line.variant], mine[line.baseline], line)


def table(report: Report) -> Iterator[Any]:
    """What to print."""
    shown = Table("what", "case", "per second", "baseline", "per second", "ratio", "95%", "target", "met")
    for found in findings(report):
        unit = UNIT[found.experiment]
        shown.add_row(
            found.line.label,
            found.case,
            f"{found.rate:.4g} {unit}",
            found.line.base_label,
            f"{found.base_rate:.4g} {unit}",
            f"{found.ratio.value:.3g}",
            f"{found.ratio.low:.3g} to {found.ratio.high:.3g}",
            "" if found.line.target is None else f">= {found.line.target:g}",
            {True: "yes", False: "no", None: ""}[found.met],
        )
    yield shown
    machine = report.machine
    yield (
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_average_at_start'][0]} at the start, "
        f"vLLM {machine['vllm']}, torch {machine['torch']}, {report.settings['dtype']}, "
        f"{'a tiny random model' if report.settings['tiny'] else report.settings['model'] or 'the default model'}, "
        f"{report.settings['rounds']} rounds"
    )
    yield from (f"tokens {row.variant}: {row.samples[0]:.0f}" for row in report.series if row.unit == "tokens")
    if not report.complete:
        yield "INCOMPLETE: stopped, or out of its time; --resume measures what is missing"
    yield from report.notes


def as_json(report: Report) -> str:
    """Ratios, raw samples, machine and settings."""
    ratios = [
        {
            "experiment": found.experiment,
            "case": found.case,
            "variant": found.line.label,
            "baseline": found.line.base_label,
            "rate": found.rate,
            "base_rate": found.base_rate,
            "unit": UNIT[found.experiment],
            **asdict(found.ratio),
            "target": found.line.target,
            "met": found.met,
        }
        for found in findings(report)
    ]
    return json.dumps({"ratios": ratios, **asdict(report)}, indent=1) + "\n"


def _finding(row: Series, base: Series, line: Line) -> Finding:
    # Samples are seconds for the same work, so that the ratio of rates is that of seconds turned round.
    case = ", ".join(f"{name} {value}" for name, value in row.case.items())
    rate, base_rate = (1 / spread(each.samples).median for each in (row, base))
    return Finding(row.experiment, case, line, rate, base_rate, paired_ratio(base.samples, row.samples))
