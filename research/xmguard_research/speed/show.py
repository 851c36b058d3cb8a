"""A report as a table for people: on a terminal, and as the block in the README."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.table import Table

from xmguard_research.speed.arithmetic import Spread
from xmguard_research.speed.findings import TITLES, Finding, findings
from xmguard_research.speed.report import Report

MARK = "<!-- speed -->"
"""Stands before and after the generated block of a document."""
_BLOCK = re.compile(f"{re.escape(MARK)}\n.*?{re.escape(MARK)}", flags=re.DOTALL)


def table(report: Report) -> Table:
    """Every finding, one line each."""
    shown = Table(title=heading(report), title_justify="left")
    for column in ("what", "case", "median", "quartiles", "ratio", "95% CI", "target", "met", "note"):
        shown.add_column(
            column,
            justify="right" if column in ("median", "ratio", "target") else "left",
            no_wrap=column in ("what", "case"),
        )
    previous = ""
    for finding in findings(report):
        if finding.experiment != previous:
            shown.add_section()
            shown.add_row(f"[bold]{TITLES[finding.experiment]}[/bold]")
            previous = finding.experiment
        shown.add_row(
            finding.label,
            finding.case,
            *_measured(finding.spread, finding.unit),
            *_interval(finding),
            "" if finding.target is None else f"{finding.target:g}",
            {None: "", True: "yes", False: "[bold]no[/bold]"}[finding.met],
            finding.note,
        )
    return shown


def markdown(report: Report) -> str:
    """Ratios by experiment, the cases of a label in one line; medians and intervals are in the JSON."""
    lines = [f"{heading(report)}", "", "| next to plain generation = 1 | ratio | target | met |", "|---|---|---|---|"]
    grouped: dict[tuple[str, str, float | None], list[Finding]] = {}
    for finding in findings(report):
        if (finding.ratio is not None or finding.note) and finding.experiment != "exponent":
            grouped.setdefault((finding.experiment, finding.label, finding.target), []).append(finding)
    previous = ""
    for (experiment, label, target), group in grouped.items():
        if experiment != previous:
            lines.append(f"| **{TITLES[experiment]}** | | | |")
            previous = experiment
        ratios = "; ".join(f"{finding.case}: {_ratio(finding)}" for finding in group)
        lines.append(f"| {label} | {ratios} | {'' if target is None else f'{target:g}'} | {_met(group)} |")
    return "\n".join([*lines, *(f"\n{note}." for note in report.notes)])


def heading(report: Report) -> str:
    """Where and how it was measured, in a sentence or two."""
    machine, settings = report.machine, report.settings
    load = ", ".join(f"{value:g}" for value in machine["load_average_at_start"])
    state = "" if report.complete else "INCOMPLETE: the run was interrupted. "
    return (
        f"{state}{settings['model']}, {settings['dtype']}, {machine['cpu']}, {machine['threads']} of "
        f"{machine['cores']} cores, torch {machine['torch']}, transformers {machine['transformers']}, "
        f"Python {machine['python']}, commit {_short_commit(machine['commit'])}, load average at the start {load}; "
        f"medians of {settings['repeats']} interleaved rounds."
    )


def replaced(document: str, report: Report) -> str:
    """The document with its block rendered from the report.

    Raises:
        ValueError: it does not have exactly one block.
    """
    text, blocks = _BLOCK.subn(lambda _: f"{MARK}\n{markdown(report)}\n{MARK}", document)
    if blocks != 1 or document.count(MARK) != 2:
        raise ValueError(f"the document needs exactly one block between two lines {MARK}, and has {blocks}")
    return text


def _measured(measured: Spread | None, unit: str) -> tuple[str, str]:
    if measured is None:
        return "", ""
    low, high = measured.first_quartile, measured.third_quartile
    if unit == "bytes":
        return f"{measured.median / 2**20:.0f} MiB", f"{low / 2**20:.0f} to {high / 2**20:.0f}"
    factor, name = (1000.0, "ms") if measured.median < 1.0 else (1.0, "s")
    return f"{measured.median * factor:.2f} {name}", f"{low * factor:.2f} to {high * factor:.2f}"


def _interval(finding: Finding) -> tuple[str, str]:
    if finding.ratio is None:
        return ("-" if finding.note else "1"), ""
    return f"{finding.ratio.value:.3f}", f"{finding.ratio.low:.3f} to {finding.ratio.high:.3f}"


def _met(group: Sequence[Finding]) -> str:
    if all(finding.met is None for finding in group):
        return ""
    missed = [finding.case for finding in group if not finding.met]
    if not missed:
        return "yes"
    return "no" if len(missed) == len(group) else f"no at {'; '.join(missed)}"


def _ratio(finding: Finding) -> str:
    """With three decimals, because targets have two."""
    return finding.note if finding.ratio is None else f"{finding.ratio.value:.3f}"


def _short_commit(commit: str) -> str:
    return re.sub(r"^([0-9a-f]{12})[0-9a-f]+", r"\1", commit)
