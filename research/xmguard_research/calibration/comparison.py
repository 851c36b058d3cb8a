"""A verdict before and after, as a table for a person, and in one sentence whether it got better.

Scores compare conflicts with consistent pairs; where no probability was established it counts as 0.5. Intervals are
those of `xmguard_research.metrics`, over whole items. Knows neither models nor files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from xmguard_research.metrics import Bootstrap, Estimate, Metric, auroc, brier, ece, recall_at_false_alarms
from xmguard_research.verdict.pairs import Label, Pair
from xmguard_research.verdict.report import UNKNOWN

EXPLAINED = (
    "Intervals: 95%, over items. Scores compare conflicts with consistent pairs; a probability that was not "
    f"established counts as {UNKNOWN}. ECE is biased upward when pairs are few."
)
DECISIONS = ("CONFLICT", "CONSISTENT", "UNDETERMINED")


@dataclass(frozen=True)
class Said:
    """What was said of a pair."""

    decision: str
    probability: float | None


@dataclass(frozen=True)
class Score:
    """One number before and after, and the paired difference."""

    name: str
    good: int
    """1 if larger is better, -1 if smaller is."""
    before: Estimate
    after: Estimate
    difference: Estimate


_METRICS: tuple[tuple[str, int, Metric], ...] = (
    ("AUROC", 1, auroc),
    ("recall at 10%\nfalse alarms", 1, recall_at_false_alarms),
    ("Brier score", -1, brier),
    ("ECE", -1, ece),
)


def scores(pairs: Sequence[Pair], before: Sequence[Said], after: Sequence[Said]) -> list[Score]:
    """Of the pairs that are conflicts or consistent; the three sequences are in one order."""
    rows = [row for row in zip(pairs, before, after, strict=True) if row[0].label is not Label.UNDETERMINED]
    bootstrap = Bootstrap([pair.item for pair, _, _ in rows])
    conflict = [pair.conflict for pair, _, _ in rows]
    old = [UNKNOWN if said.probability is None else said.probability for _, said, _ in rows]
    new = [UNKNOWN if said.probability is None else said.probability for _, _, said in rows]
    return [
        Score(
            name,
            good,
            bootstrap.estimate(metric, conflict, old),
            bootstrap.estimate(metric, conflict, new),
            bootstrap.difference(metric, conflict, new, old),
        )
        for name, good, metric in _METRICS
    ]


def table(found: Sequence[Score], pairs: Sequence[Pair], before: Sequence[Said], after: Sequence[Said]) -> Table:
    """Scores with their 95% intervals, then what was decided, by label."""
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("", "before", "after, cross-validated", "difference"):
        shown.add_column(heading, no_wrap=True)
    for score in found:
        difference = _interval(score.difference, "+.3f")
        shown.add_row(Text(score.name), _interval(score.before), _interval(score.after), difference)
    for label in Label:
        of_label = [index for index, pair in enumerate(pairs) if pair.label is label]
        if of_label:
            cells = (_decided([said[index] for index in of_label]) for said in (before, after))
            shown.add_row(Text(f"{label.value}\n{len(of_label)} pairs"), *cells, Text())
    return shown


def conclusion(found: Sequence[Score]) -> str:
    """Whether after is better, by the intervals of the differences."""
    sure = [score for score in found if score.difference.excludes_zero]
    better, worse = (
        [" ".join(s.name.split()) for s in sure if (s.difference.value or 0.0) * s.good * sign > 0] for sign in (1, -1)
    )
    if worse:
        gained = f", better in {', '.join(better)}" if better else ""
        return f"After is worse than before in {', '.join(worse)}{gained}."
    if better:
        return f"After is better than before in {', '.join(better)}."
    return "After is not better than before: the 95% interval of every difference holds 0."


def _interval(estimate: Estimate, form: str = ".3f") -> Text:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return Text("undefined")
    lines = f"{estimate.value:{form}}\n{estimate.low:{form}} to {estimate.high:{form}}"
    return Text(lines + (f"\n{estimate.undefined} draws undefined" if estimate.undefined else ""))


def _decided(said: Sequence[Said]) -> Text:
    counts = Counter(one.decision for one in said)
    return Text("\n".join(f"{counts[decision]:>4} {decision}" for decision in DECISIONS))
