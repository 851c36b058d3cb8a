"""How results are shown: on the terminal, as JSON, and as a table between markers of a document."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import grpc
from rich.console import Console
from rich.table import Table

import xmguard
from tests.reliability.target import Finding, Measure, Result, Skip

MARK = "<!-- reliability -->"
"""Stands before and after the table of a document."""


def show(results: Sequence[Result], console: Console) -> None:
    """Print every measure."""
    table = Table("Target", "Measured", "Bound", "Value", "Result")
    for result in results:
        head = f"{result.target.name} {result.target.title}"
        for finding in result.findings:
            table.add_row(head, *cells(finding))
            head = ""
        if result.error:
            table.add_row(head, "the check itself", "", result.error, "[red]ERROR[/red]")
        table.add_section()
    console.print(table)


def cells(finding: Finding) -> tuple[str, str, str, str]:
    """What, bound, value and result, in words."""
    if isinstance(finding, Skip):
        return finding.what, "", finding.why, "SKIPPED"
    return finding.what, bound(finding), number(finding.value, finding.unit), "met" if finding.met else "MISSED"


def bound(measure: Measure) -> str:
    return f"{'≥' if measure.at_least else '≤'} {number(measure.bound, measure.unit)}"


def number(value: float, unit: str) -> str:
    """A value as people write it."""
    if math.isnan(value):
        return "nothing"
    written = f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"
    return f"{written} {unit}".strip()


def data(results: Sequence[Result], *, short: bool, load: float) -> dict[str, object]:
    """Everything, as JSON has it. `load` is the machine's load average before the run."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "form": "short" if short else "soak",
        "machine": {
            "cores": os.cpu_count(),
            "load_before": round(load, 1),
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "grpcio": grpc.__version__,
            "xmguard": xmguard.__version__,
        },
        "targets": [
            {
                "name": result.target.name,
                "title": result.target.title,
                "result": result.verdict,
                "short_form": result.target.slack,
                "seconds": round(result.seconds, 1),
                "error": result.error,
                "findings": [
                    {"kind": type(one).__name__.lower(), **vars(one)}
                    | ({"met": one.met} if isinstance(one, Measure) else {})
                    for one in result.findings
                ],
            }
            for result in results
        ],
    }


def write(results: Sequence[Result], path: Path, *, short: bool, load: float) -> None:
    path.write_text(json.dumps(data(results, short=short, load=load), indent=1, ensure_ascii=False) + "\n", "utf-8")


def put(results: Sequence[Result], path: Path, *, short: bool, load: float) -> None:
    """Replace what a document has between the marks.

    Raises:
        ValueError: it does not have exactly two.
    """
    parts = path.read_text("utf-8").split(MARK)
    if len(parts) != 3:
        raise ValueError(f"{path} needs the line {MARK} twice, and has it {len(parts) - 1} times")
    parts[1] = f"\n{markdown(results, short=short, load=load)}\n"
    path.write_text(MARK.join(parts), "utf-8")


def markdown(results: Sequence[Result], *, short: bool, load: float) -> str:
    """The table of a document."""
    lines = [
        f"Printed by `python -m tests.reliability --{'short' if short else 'soak'}` on {datetime.now(UTC):%Y-%m-%d}: "
        f"{os.cpu_count()} cores, load average {load:.1f} before it began, Python {platform.python_version()}, "
        f"grpcio {grpc.__version__}.",
        "",
        "| | Measured | Bound | Value | Result |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        head = f"{result.target.name} {result.target.title}"
        for finding in result.findings:
            lines.append("| " + " | ".join((head, *cells(finding))) + " |")
            head = ""
        if result.error:
            lines.append(f"| {head} | the check itself | | {result.error} | ERROR |")
    return "\n".join(lines)
