"""What was scored, as tables: every yardstick on its own, baselines and single features next to the verdict.

A score that is missing counts as its neutral value, which the caller gives; how many were missing is shown. Knows
neither models nor data files; pictures are `figures`' business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xmguard_research.metrics import (
    BINS,
    RESAMPLES,
    Bootstrap,
    Estimate,
    auroc,
    brier,
    ece,
    recall_at_false_alarms,
    won_within_items,
)
from xmguard_research.verdict.baselines import OVERLAP
from xmguard_research.verdict.pairs import Label, Pair

VERDICT = "verdict probability"
UNKNOWN = 0.5
"""Neutral value of the verdict's probability."""


@dataclass(frozen=True)
class Row:
    """A pair and what was said of it."""

    pair: Pair
    scores: Mapping[str, float | None]
    """By name, larger means conflict; None where one could not be had. The same names in all rows of a yardstick."""
    decision: str = ""
    """The verdict's, by name; empty if none was asked for."""
    probability: float | None = None
    """The verdict's; None where none was established."""


def by_yardstick(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of each yardstick, in the order in which yardsticks first come."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.pair.yardstick, []).append(row)
    return found


def columns(rows: Sequence[Row], neutral: Mapping[str, float]) -> dict[str, tuple[list[float], int]]:
    """Values of every score on the rows of one yardstick, missing ones neutral, and how many are missing.

    The verdict's probability comes first if it was asked for. A score that no row has is left out.

    Raises:
        ValueError: the rows have different scores, or a missing score has no neutral value.
    """
    names = list(rows[0].scores)
    if any(list(row.scores) != names for row in rows):
        raise ValueError(f"rows of {rows[0].pair.yardstick} have different scores")
    raw: dict[str, list[float | None]] = {name: [row.scores[name] for row in rows] for name in names}
    if any(row.decision for row in rows):
        raw = {VERDICT: [row.probability for row in rows], **raw}
    known = {name: values for name, values in raw.items() if any(value is not None for value in values)}
    return {
        name: (_filled(name, values, {VERDICT: UNKNOWN, **neutral}), values.count(None))
        for name, values in known.items()
    }


def markdown(rows: Sequence[Row], neutral: Mapping[str, float], notes: Sequence[str] = ()) -> str:
    """All yardsticks, and notes after them.

    `neutral` gives each score the value that speaks neither for nor against a conflict.
    """
    parts = [
        f"Intervals: 95%, percentile bootstrap over items, {RESAMPLES:,} draws. Conflict against everything else. "
        "Within items only pairs of the same item are compared. "
        "Recall is the highest at a threshold that at most 10% of the others reach. "
        "A missing score counts as its neutral value."
    ]
    for yardstick, own in by_yardstick(rows).items():
        parts.append(f"## {yardstick}")
        parts.append(_size(own))
        parts.append(_scores(own, neutral))
        if any(row.decision for row in own):
            parts.append(_decisions(own))
            parts.append(_calibration(own))
    return "\n\n".join([*parts, *notes]) + "\n"


def by_part(rows: Sequence[Row], neutral: Mapping[str, float], part: Callable[[Pair], str]) -> str:
    """AUROC of every score on each part of one yardstick; Markdown. Parts are small: intervals are wide."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(part(row.pair), []).append(row)
    names = list(columns(rows, neutral))
    headings = [f"{name}, {len({row.pair.item for row in own})} items" for name, own in parts.items()]
    lines = [f"| AUROC in {rows[0].pair.yardstick} | {' | '.join(headings)} |", "|---|" + "---|" * len(parts)]
    found = [_aurocs(own, neutral) for own in parts.values()]
    lines += [f"| {name} | {' | '.join(one.get(name, '') for one in found)} |" for name in names]
    return "\n".join(lines)


def _aurocs(rows: Sequence[Row], neutral: Mapping[str, float]) -> dict[str, str]:
    bootstrap = Bootstrap([row.pair.item for row in rows])
    conflict = [row.pair.conflict for row in rows]
    return {
        name: interval(bootstrap.estimate(auroc, conflict, values))
        for name, (values, _) in columns(rows, neutral).items()
    }


def _filled(name: str, values: Sequence[float | None], neutral: Mapping[str, float]) -> list[float]:
    if None in values and name not in neutral:
        raise ValueError(f"score {name!r} is missing on {values.count(None)} pairs and has no neutral value")
    return [neutral[name] if value is None else value for value in values]


def _size(rows: Sequence[Row]) -> str:
    labels = Counter(row.pair.label for row in rows)
    counts = ", ".join(f"{labels[label]} {label.value}" for label in Label if labels[label])
    conflicts = sum(row.pair.conflict for row in rows)
    majority = max(conflicts, len(rows) - conflicts) / len(rows)
    return (
        f"{len(rows)} pairs ({counts}), {len({row.pair.item for row in rows})} items. "
        f"Always saying the commoner of conflict and no conflict is right on {majority:.0%}."
    )


def _scores(rows: Sequence[Row], neutral: Mapping[str, float]) -> str:
    items = [row.pair.item for row in rows]
    bootstrap = Bootstrap(items)
    conflict = [row.pair.conflict for row in rows]
    filled = columns(rows, neutral)
    lines = [
        "| score | AUROC | within items | recall at 10% false alarms | AUROC minus word overlap | | missing |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (values, missing) in filled.items():
        difference = comment = ""
        if name != OVERLAP and OVERLAP in filled:
            estimate = bootstrap.difference(auroc, conflict, values, filled[OVERLAP][0])
            difference, comment = interval(estimate, sign=True), _comparison(estimate)
        cells = (
            name,
            interval(bootstrap.estimate(auroc, conflict, values)),
            interval(bootstrap.of_sums(np.divide, *won_within_items(items, conflict, values))),
            interval(bootstrap.estimate(recall_at_false_alarms, conflict, values)),
            difference,
            comment,
            str(missing),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _comparison(difference: Estimate) -> str:
    if difference.value is None:
        return ""
    if not difference.excludes_zero:
        return "not above overlap"
    return "above overlap" if difference.value > 0 else "below overlap"


def _decisions(rows: Sequence[Row]) -> str:
    said = Counter((row.pair.label, row.decision) for row in rows)
    usual = ["CONFLICT", "CONSISTENT", "UNDETERMINED"]
    decisions = [*usual, *sorted({row.decision for row in rows} - set(usual))]
    lines = [f"| called | {' | '.join(decisions)} |", "|---|" + "---|" * len(decisions)]
    for label in Label:
        counts = [said[label, decision] for decision in decisions]
        if any(counts):
            lines.append(f"| {label.value} pairs ({sum(counts)}) | {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def _calibration(rows: Sequence[Row]) -> str:
    known = [row for row in rows if row.probability is not None]
    if not known:
        return "No pair has a probability, so there is no calibration to look at."
    bootstrap = Bootstrap([row.pair.item for row in known])
    conflict = [row.pair.conflict for row in known]
    probabilities = [row.probability for row in known if row.probability is not None]
    return (
        f"Of the {len(known)} pairs with a probability ({len(rows) - len(known)} have none): "
        f"Brier {interval(bootstrap.estimate(brier, conflict, probabilities))}, "
        f"ECE over {BINS} bins of equal mass {interval(bootstrap.estimate(ece, conflict, probabilities))}."
    )


def interval(estimate: Estimate, *, sign: bool = False) -> str:
    """Value and interval to three places; says how many draws were undefined, if any."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "undefined (one class only)"
    form = "+.3f" if sign else ".3f"
    shown = f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
    return shown + (f", {estimate.undefined} draws undefined" if estimate.undefined else "")
