"""What an analysis comes to, and how it is written: `summary.json`, `table.md` and figures as SVG.

A summary can be shown without knowing its analysis. Numbers are written as they are, with their intervals beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from xmguard_research.analyses.drawing import svg
from xmguard_research.metrics import Estimate

ROWS, SUMMARY, TABLE = "rows.jsonl", "summary.json", "table.md"
ABSENT = "–"

Table = Sequence[Sequence[str]]
"""Rows of cells; the first one names the columns."""


@dataclass(frozen=True)
class About:
    """What was analysed."""

    model: str
    suite: str
    items: int
    command: str
    """That does it again."""


@dataclass(frozen=True)
class Outcome:
    """What an analysis found."""

    analysis: str
    title: str
    caption: str
    """What the numbers are and what they are not."""
    table: Table
    values: Mapping[str, Any]
    """Every number with its interval, as JSON has it."""
    figures: Mapping[str, Figure]
    """By file name."""
    more: Mapping[str, Table] = field(default_factory=dict)
    """Further tables by title."""


def write(outcome: Outcome, about: About, folder: Path) -> None:
    """Write the outcome, in place of an earlier one; the summary last, so that it names only what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in outcome.figures.items():
        (folder / name).write_bytes(svg(figure, salt=f"{outcome.analysis}/{name}"))
    (folder / TABLE).write_text(markdown(outcome), encoding="utf-8")
    summary = {
        "analysis": outcome.analysis,
        **asdict(about),
        "title": outcome.title,
        "caption": outcome.caption,
        "table": outcome.table,
        "more_tables": [{"title": title, "table": table} for title, table in outcome.more.items()],
        "figures": list(outcome.figures),
        "values": outcome.values,
    }
    text = json.dumps(summary, ensure_ascii=False, indent=1, allow_nan=False)
    (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")


def markdown(outcome: Outcome) -> str:
    """Title, tables and caption."""
    parts = [f"# {outcome.title}", _table(outcome.table)]
    for title, table in outcome.more.items():
        parts += [f"## {title}", _table(table)]
    return "\n\n".join([*parts, outcome.caption]) + "\n"


def number(estimate: Estimate, form: str = ".3g") -> str:
    """A value with its interval, for a table; alone where the interval has no width, as that of a single item."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ABSENT
    if estimate.low == estimate.high:
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def percent(estimate: Estimate) -> str:
    """A share with its interval, for a table."""
    return number(estimate, ".0%")


def p_value(value: float | None) -> str:
    """A p-value, for a table."""
    return ABSENT if value is None else f"{value:.3g}"


def plain(value: Any) -> Any:
    """Estimates inside lists and mappings as JSON objects."""
    match value:
        case Estimate():
            return asdict(value)
        case Mapping():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case _:
            return value


def _table(table: Table) -> str:
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in table]
    lines.insert(1, " | ".join(["---"] * len(table[0])))
    return "\n".join(f"| {line} |" for line in lines)
