"""Numbers as files: JSON, CSV, Markdown, and rows of a checkpoint's card. Knows no model and no figure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard.profile import CARD
from xmguard_research.metrics import Estimate
from xmguard_research.mixing.folders import rewrite, told
from xmguard_research.mixing.measures import Number
from xmguard_research.mixing.posing import CONFLICT
from xmguard_research.mixing.quantities import ACCURACIES, MEANINGS, RATES

SUMMARY, TABLE = "summary.json", "summary.csv"
ABSENT = "–"

Table = Sequence[Sequence[str]]
"""Rows of cells; the first one names the columns."""


def flat(number: Number) -> dict[str, Any]:
    """A number as one row: the interval's ends beside it, draws that it lacks, digits that say something."""
    row = asdict(number)
    estimate = row.pop("estimate")
    row["undefined"] = estimate["undefined"]
    for name in ("value", "low", "high"):
        row[name] = None if estimate[name] is None else float(f"{estimate[name]:.6g}")
    return row


def write(folder: Path, numbers: Sequence[Number], about: Mapping[str, Any]) -> None:
    """Write `SUMMARY`, with what was measured and what names mean, and `TABLE`, in place of earlier ones.

    Raises:
        XmguardError: they cannot be written.
    """
    rows = [flat(number) for number in numbers]
    summary = {**about, "meanings": MEANINGS, "numbers": rows}
    text = json.dumps(summary, ensure_ascii=False, indent=1, allow_nan=False)
    with told(folder, "Responses are kept"):
        rewrite(folder / SUMMARY, text + "\n")
        rewrite(folder / TABLE, as_csv(rows))


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with equal columns as CSV; what is not known is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a checkpoint folder, for `write_card`.

    Raises:
        XmguardError: it has none that can be read.
    """
    path = folder / CARD
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise XmguardError(
            f"{path} cannot be read ({error}); --write is for a checkpoint folder of xmguard mix train",
            code=ErrorCode.INVALID_ARGUMENT,
            reason=Reason.REQUEST_INVALID,
        ) from error
    return card


def write_card(
    folder: Path, numbers: Sequence[Number], measured: Mapping[str, str], settings: Mapping[str, Mapping[str, Any]]
) -> int:
    """Put the numbers of a checkpoint into its card, beside those of other variants that were measured on the same.

    Args:
        folder: of the checkpoint.
        numbers: they take the place of all that the card has of the same suites, variants and prompts.
        measured: weights, dtype and version, as `evaluating.stamped` tells them.
        settings: of every suite that was asked, as `Wanted.setting` tells them.

    Returns:
        How many rows are no longer in the card because they were measured on others, or nobody knows on what.

    Raises:
        XmguardError: the folder has no card that can be read, or it cannot be written.
    """
    card = read_card(folder)
    names = ("suite", "variant", "prompt", "what", "value", "low", "high", "items")
    rows = [{name: row[name] for name in names} for row in map(flat, numbers)]
    written = {_asked(row) for row in rows}
    before = card.get("benchmarks", [])
    there = dict(card.get("measured", {}))
    earlier = there.pop("settings", {}) if there.items() >= measured.items() else {}
    # Of a suite that was not asked now, what is known of it goes on to hold.
    known = {**earlier, **settings}
    same = [one for one in before if one.get("suite") in earlier and earlier[one["suite"]] == known[one["suite"]]]
    card["measured"] = {**measured, "settings": known}
    card["benchmarks"] = [*(one for one in same if _asked(one) not in written), *rows]
    path = folder / CARD
    with told(path):
        rewrite(path, json.dumps(card, ensure_ascii=False, indent=1) + "\n")
    return len(before) - len(same)


def _asked(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Whatever is measured at once: questions with one answer apart from conflicts, which may be of a like variant."""
    return (*(row.get(name) for name in ("suite", "variant", "prompt")), row.get("what") in ACCURACIES)


def shown(estimate: Estimate, what: str) -> str:
    """A value with its interval, if that has a width, and how many draws are left out of it, if some are."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ABSENT
    value, low, high = (plain(one, what) for one in (estimate.value, estimate.low, estimate.high))
    left_out = f" ({estimate.undefined} draws left out)" if estimate.undefined else ""
    return (value if estimate.low == estimate.high else f"{value} [{low}, {high}]") + left_out


def plain(value: float | None, what: str) -> str:
    """A value alone: rates in percent, everything else with three digits."""
    if value is None:
        return ABSENT
    return f"{100 * value:z.0f}" if any(what.endswith(name) for name in RATES) else f"{value:.3g}"


def markdown(table: Table) -> str:
    """A table as Markdown."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
    lines.insert(1, "|" + " --- |" * len(table[0]))
    return "\n".join(lines)


def of_checkpoint(numbers: Sequence[Number], whats: Sequence[str], *, conflicts: bool) -> Table:
    """A row for every variant and prompt of what was asked, a column for every quantity."""
    rows: dict[tuple[str, str, str, str], dict[str, str]] = {}
    for number in numbers:
        if (number.task == CONFLICT) is conflicts and number.what in whats:
            cell = rows.setdefault((number.suite, number.variant, number.prompt, number.task), {})
            cell[number.what] = shown(number.estimate, number.what)
    head = ("suite", "variant", "prompt" if conflicts else "question", *whats)
    body = [
        (suite, variant, prompt if conflicts else task, *(cell.get(what, ABSENT) for what in whats))
        for (suite, variant, prompt, task), cell in rows.items()
    ]
    return [head, *body]
