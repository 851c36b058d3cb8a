"""Steering swept over its strength: what is reported of conflicts and of controls, and which source is followed.

Source: the paper, section 3 and Figure 5 (a constant bias on the later source, or the one that contributes less). Rates
are of one variant, one order, one prompt and one scope. What the judge cannot judge is counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from xmguard.plugins import Registry
from xmguard_research.analyses import drawing
from xmguard_research.analyses.causal import Monotonicity, monotonicity
from xmguard_research.analyses.following import source_followed
from xmguard_research.analyses.outcome import Outcome, number, percent, plain
from xmguard_research.analyses.steering import PLAIN, Knob, Setting, Swept
from xmguard_research.judge.values import Exchange, Judge
from xmguard_research.metrics import RESAMPLES, Estimate, share

NAMES: Mapping[Knob, str] = {"epsilon": "sweep", "share": "target-share"}
"""Of the analyses."""
AMOUNTS: Mapping[Knob, Sequence[float]] = {
    "epsilon": (-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0),
    "share": (0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
}
"""Nats; shares of every reading row's attention."""
ALL = "all variants"
_UNITS: Mapping[Knob, str] = {"epsilon": "epsilon, nats", "share": "share of attention"}
CAPTION = (
    "The bias is on the {steer} source, the same in all layers and heads. Reported is what a rule judge reads as "
    "saying that the sources contradict each other: of conflicts the detection rate, of controls the false alarm "
    "rate. An answer to a conflict follows a source if it gives that source's known answer and not the other's. "
    "Readers are all positions after the last source, all means the context too, generated only the answer. Following "
    "is tested for rising with the strength: rank correlation, share of steps per conflict at which following ends, "
    "and the largest distance of the rate from its isotonic fit (dashed). Intervals are 95%, over items."
)
TREND = (
    *("group", "scope", "conflicts", "Spearman", "steps down", "steps up", "without a step down, of those that follow"),
    *("conflicts that never follow", "largest distance from isotonic"),
)


@dataclass(frozen=True)
class Said:
    """One answer, judged."""

    item: str
    conflict: bool
    reported: bool | None
    empty: bool
    """Whether nothing was said."""
    followed: int | None
    """Position of the source that an answer to a conflict follows."""
    steered: int

    @property
    def follows(self) -> bool:
        """Whether it follows the steered source."""
        return self.followed == self.steered


@dataclass(frozen=True)
class Cell:
    """Answers of one variant under one setting; None is the reading without bias."""

    variant: str
    scope: str
    amount: float | None
    said: tuple[Said, ...]

    def numbers(self, resamples: int) -> dict[str, Any]:
        """Rates with their intervals, and counts."""
        conflicts = [one for one in self.said if one.conflict]

        def rate(rows: Sequence[Said], holds: Callable[[Said], bool]) -> Estimate:
            return share([holds(one) for one in rows], [one.item for one in rows], resamples=resamples)

        judged = [one for one in self.said if one.reported is not None]
        clear = [one for one in conflicts if one.followed is not None]
        return {
            "variant": self.variant,
            "scope": self.scope,
            "amount": self.amount,
            "conflicts": len(conflicts),
            "controls": len(self.said) - len(conflicts),
            "unjudged": len(self.said) - len(judged),
            "empty": sum(one.empty for one in self.said),
            "detection": rate([one for one in judged if one.conflict], lambda one: bool(one.reported)),
            "false_alarms": rate([one for one in judged if not one.conflict], lambda one: bool(one.reported)),
            "follows_steered": rate(conflicts, lambda one: one.follows),
            "follows_other": rate(conflicts, lambda one: one.followed is not None and not one.follows),
            "steered_of_followed": rate(clear, lambda one: one.follows),
            "follows_neither": rate(conflicts, lambda one: one.followed is None),
        }


def settings(knob: Knob, amounts: Sequence[float], steer: str, scopes: Sequence[str]) -> list[Setting]:
    """Every amount under every scope, amounts ascending.

    Raises:
        InvalidRequest: an amount is out of range, or a scope or source is unknown.
    """
    return [Setting(knob, amount, steer, scope) for scope in scopes for amount in sorted(set(amounts))]


def outcome(
    swept: Sequence[Swept],
    chosen: Sequence[Setting],
    questions: Mapping[str, str],
    judge: Judge,
    registry: Registry,
    *,
    resamples: int = RESAMPLES,
) -> Outcome:
    """Table of rates, table of trends, and both as curves; `questions` is what was asked, by id of the case."""
    knob, steer = chosen[0].knob, chosen[0].steer
    found = cells(swept, chosen, questions, judge, registry)
    rates = [cell.numbers(resamples) for cell in found]
    trend = trends(found, resamples=resamples)
    unit = _UNITS[knob]
    values = {
        "knob": knob,
        "steer": steer,
        "judge": judge.produced_by,
        "rates": plain(rates),
        "monotonicity": [{"group": group, "scope": scope, **plain(vars(own))} for (group, scope), own in trend.items()],
    }
    amounts = "epsilon" if knob == "epsilon" else "target share of attention"
    return Outcome(
        NAMES[knob],
        f"What a larger {amounts} on the {steer} source changes",
        CAPTION.format(steer=steer),
        [_columns(unit), *(_row(own) for own in rates)],
        values,
        {"detection.svg": _detection(rates, unit), "following.svg": _following(rates, trend, unit)},
        {"Does following rise with the strength?": [TREND, *(_trend(*key, own) for key, own in trend.items())]},
    )


def cells(
    swept: Sequence[Swept],
    chosen: Sequence[Setting],
    questions: Mapping[str, str],
    judge: Judge,
    registry: Registry,
) -> list[Cell]:
    """Answers judged, by variant, scope and amount; of a target share, the reading without bias comes first."""
    variants: dict[str, list[Swept]] = {}
    for one in swept:
        variants.setdefault(one.case.variant, []).append(one)
    judged: dict[tuple[str, str], bool | None] = {}

    def say(one: Swept, name: str, steer: str) -> Said:
        answer = one.answers[name]
        asked = (questions[one.case.id], answer)
        if asked not in judged:
            judged[asked] = judge.judge(Exchange(*asked)).mentions_conflict
        followed = source_followed(answer, one.case, registry) if one.case.conflict else None
        empty = not answer.strip()
        return Said(one.case.item, one.case.conflict, judged[asked], empty, followed, one.steered(steer))

    found = []
    for variant, own in variants.items():
        if chosen[0].knob == "share":
            found.append(Cell(variant, "none", None, tuple(say(one, PLAIN, chosen[0].steer) for one in own)))
        for setting in chosen:
            said = tuple(say(one, setting.name, setting.steer) for one in own)
            found.append(Cell(variant, setting.scope, setting.amount, said))
    return found


def trends(found: Sequence[Cell], *, resamples: int = RESAMPLES) -> dict[tuple[str, str], Monotonicity]:
    """How following changes with the amount, by variant and scope, and over all variants by scope."""
    columns: dict[tuple[str, str], list[Cell]] = {}
    for cell in found:
        if cell.amount is not None:
            columns.setdefault((cell.variant, cell.scope), []).append(cell)
    tables: dict[tuple[str, str], tuple[list[list[bool]], list[str]]] = {}
    several = len({variant for variant, _ in columns}) > 1
    for (variant, scope), own in columns.items():
        by_case = zip(*(cell.said for cell in own), strict=True)
        follows = [[one.follows for one in answers] for answers in by_case if answers[0].conflict]
        items = [one.item for one in own[0].said if one.conflict]
        for name in (variant, ALL) if several else (variant,):
            table = tables.setdefault((name, scope), ([], []))
            table[0].extend(follows)
            table[1].extend(items)
    return {
        key: monotonicity(follows, items, resamples=resamples)
        for key, (follows, items) in tables.items()
        if follows and len(follows[0]) > 1
    }


def _columns(unit: str) -> list[str]:
    return [
        *("group", "scope", unit, "conflicts", "reported", "controls", "false alarms", "unjudged", "empty"),
        *("follows the steered", "follows the other", "follows neither", "steered of followed"),
    ]


def _row(own: Mapping[str, Any]) -> list[str]:
    return [
        own["variant"],
        own["scope"],
        "no bias" if own["amount"] is None else f"{own['amount']:g}",
        str(own["conflicts"]),
        percent(own["detection"]),
        str(own["controls"]),
        percent(own["false_alarms"]),
        str(own["unjudged"]),
        str(own["empty"]),
        *(percent(own[f"follows_{which}"]) for which in ("steered", "other", "neither")),
        percent(own["steered_of_followed"]),
    ]


def _trend(group: str, scope: str, own: Monotonicity) -> list[str]:
    return [
        *(group, scope, str(own.conflicts), number(own.spearman, ".2f")),
        *(percent(one) for one in (own.down, own.up, own.never_down)),
        str(own.never_follow),
        f"{own.departure:.2f}",
    ]


def _curves(rates: Sequence[Mapping[str, Any]], variant: str) -> dict[str, list[Mapping[str, Any]]]:
    """Scope to what was found at each amount."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for own in rates:
        if own["variant"] == variant and own["amount"] is not None:
            found.setdefault(own["scope"], []).append(own)
    return found


def _detection(rates: Sequence[Mapping[str, Any]], unit: str) -> Figure:
    variants = list(dict.fromkeys(own["variant"] for own in rates))
    figure, axes = drawing.panels(variants, unit, "share that reports a contradiction")
    for axis, variant in zip(axes, variants, strict=True):
        for colour, (scope, own) in enumerate(_curves(rates, variant).items()):
            amounts = [one["amount"] for one in own]
            drawing.curve(axis, amounts, [one["detection"] for one in own], f"conflicts, {scope}", colour)
            drawing.curve(axis, amounts, [one["false_alarms"] for one in own], f"controls, {scope}", colour, style=":")
        axis.set_ylim(-0.03, 1.03)
        drawing.legend(axis)
    return figure


def _following(rates: Sequence[Mapping[str, Any]], trend: Mapping[tuple[str, str], Monotonicity], unit: str) -> Figure:
    variants = list(dict.fromkeys(own["variant"] for own in rates))
    figure, axes = drawing.panels(variants, unit, "share of conflicts that follow the steered source")
    for axis, variant in zip(axes, variants, strict=True):
        for colour, (scope, own) in enumerate(_curves(rates, variant).items()):
            amounts = [one["amount"] for one in own]
            drawing.curve(axis, amounts, [one["follows_steered"] for one in own], scope, colour)
            if (variant, scope) in trend:
                fitted = trend[variant, scope].isotonic
                axis.plot(amounts, fitted, "--", color=drawing.COLOURS[colour], linewidth=0.8)
        axis.set_ylim(-0.03, 1.03)
        drawing.legend(axis)
    return figure
