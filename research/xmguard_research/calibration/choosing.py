"""Which policy, if any, for one way in which sources meet: the most gain on dev items that was not seen to do harm.

A policy is *shown better than none* if it gains, if a sign-flip test over items allows chance less than 5%, shared out
among all policies tried for all ways of meeting (Bonferroni), and if neither accuracy on controls nor false alarms were
seen to get worse by more than `harm.ALLOWED_LOSS`. That is what the dev items showed and no bound: the interval of few
items reaches further, and is told beside it. Otherwise none wins, and what there was is left alone. Knows neither
models nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from xmguard_research.calibration.tuning import number
from xmguard_research.harm import ALLOWED_LOSS, BASELINE
from xmguard_research.metrics import Bootstrap, Estimate, sign_flip_p_value

CHANCE = 0.05
DETECTION, BALANCE = "detection", "balance"
AIMS = {
    DETECTION: "more of the conflicts are mentioned, as the rule judge reads it (points)",
    BALANCE: "the sources are used more evenly: a smaller log ratio of their contributions (nats)",
}
"""What a policy may be chosen for, and in what that is counted."""


@dataclass(frozen=True)
class Outcome:
    """One response under one policy."""

    item: str
    prompt: str
    variant: str
    conflict: bool
    reported: bool | None
    """Whether it says that the sources differ; None where the judge has no word."""
    right: bool | None
    """Whether it gives the answer of a control; None of a conflict, and under prompts that do not ask for it."""
    log_ratio: float | None
    """Nats."""


@dataclass(frozen=True)
class Candidate:
    """A policy against none, on the same cases."""

    setting: str
    gain: Estimate
    """In what the aim is counted; positive is better."""
    p_value: float | None
    accuracy: Estimate
    """Points."""
    alarms: Estimate
    """Points; positive is worse."""

    @property
    def harmless(self) -> bool:
        """Whether it was not seen to lose more than is allowed: the values alone count, not their intervals."""
        lost, alarms = self.accuracy.value, self.alarms.value
        return lost is not None and alarms is not None and lost >= -ALLOWED_LOSS and alarms <= ALLOWED_LOSS


@dataclass(frozen=True)
class Choice:
    """What was chosen for one way of meeting."""

    pair: str
    setting: str
    """`BASELINE` if none was shown better."""
    candidates: tuple[Candidate, ...]
    note: str


def choose(pair: str, outcomes: Mapping[str, Sequence[Outcome]], aim: str, *, pairs: int = 1) -> Choice:
    """The setting with the most gain among those shown better than none; the first of equals.

    `outcomes` has the same responses in the same order for every setting, `BASELINE` among them. `pairs` is the number
    of ways of meeting, this one among them, for which as many settings are tried: chance is shared out among all.
    """
    baseline = outcomes[BASELINE]
    tried = [setting for setting in outcomes if setting != BASELINE]
    found = tuple(compared(setting, outcomes[setting], baseline, aim) for setting in tried)
    items = number(len({one.item for one in baseline}), "dev item")
    shown = [one for one in found if _gains(one) and (one.p_value or 0.0) <= CHANCE / (pairs * len(found))]
    able = [one for one in shown if one.harmless]
    if able:
        best = max(able, key=lambda one: one.gain.value or 0.0)
        note = f"{pair}: {best.setting} on {items}: {_told(best, aim)}; {_cost(best)}"
        return Choice(pair, best.setting, found, note)
    gains = [one for one in found if one.gain.value is not None]
    best_of = max(gains, key=lambda one: one.gain.value or 0.0, default=None)
    told = "" if best_of is None else f"; the most had {best_of.setting}: {_told(best_of, aim)}"
    harmful = f"; {', '.join(one.setting for one in shown)} gained and did harm" if shown else ""
    note = f"{pair}: left alone; no value shown better than none on {items}{told}{harmful}"
    return Choice(pair, BASELINE, found, note)


def compared(setting: str, mine: Sequence[Outcome], baseline: Sequence[Outcome], aim: str) -> Candidate:
    """One setting against none."""
    gained, p_value = _GAINS[aim](mine, baseline)
    rows = list(zip(mine, baseline, strict=True))
    right = [(one.item, one.right, was.right) for one, was in rows]
    alarmed = [(one.item, one.reported, was.reported) for one, was in rows if not one.conflict]
    return Candidate(setting, gained, p_value, change(right), change(alarmed))


def _gains(one: Candidate) -> bool:
    return one.gain.value is not None and one.gain.value > 0 and one.p_value is not None


def _detection(mine: Sequence[Outcome], baseline: Sequence[Outcome]) -> tuple[Estimate, float | None]:
    rows = zip(mine, baseline, strict=True)
    told = [(one.item, one.reported, was.reported) for one, was in rows if one.conflict]
    known = [(item, float(now) - float(was)) for item, now, was in told if now is not None and was is not None]
    return change(told), sign_flip_p_value([item for item, _ in known], [gain for _, gain in known])


def _balance(mine: Sequence[Outcome], baseline: Sequence[Outcome]) -> tuple[Estimate, float | None]:
    rows = zip(mine, baseline, strict=True)
    known = [
        (one.item, was.log_ratio - one.log_ratio)
        for one, was in rows
        if one.log_ratio is not None and was.log_ratio is not None
    ]
    return mean(known), sign_flip_p_value([item for item, _ in known], [gain for _, gain in known])


_GAINS: Mapping[str, Callable[[Sequence[Outcome], Sequence[Outcome]], tuple[Estimate, float | None]]] = {
    DETECTION: _detection,
    BALANCE: _balance,
}


def mean(rows: Sequence[tuple[str, float]]) -> Estimate:
    """Of numbers with their items; all None without rows, and no interval of a single item: nothing varies there."""
    if not rows:
        return Estimate(None, None, None, 0)
    if len({item for item, _ in rows}) == 1:
        return Estimate(fsum(value for _, value in rows) / len(rows), None, None, 0)
    bootstrap = Bootstrap([item for item, _ in rows])
    return bootstrap.of_sums(lambda total, count: total / count, [value for _, value in rows], [1.0] * len(rows))


def change(rows: Sequence[tuple[str, bool | None, bool | None]]) -> Estimate:
    """Points by which a share grew, where both are known."""
    return mean([(item, 100.0 * (now - was)) for item, now, was in rows if now is not None and was is not None])


def _cost(one: Candidate) -> str:
    return f"accuracy on controls {_points(one.accuracy)}, false alarms {_points(one.alarms)}"


def _points(change: Estimate) -> str:
    shown = f"{change.value or 0.0:+.1f}"
    if change.low is not None and change.high is not None:
        shown += f" [{change.low:+.1f}, {change.high:+.1f}]"
    return f"{shown} points"


def _told(one: Candidate, aim: str) -> str:
    unit = "points" if aim == DETECTION else "nats"
    chance = "untested" if one.p_value is None else f"p = {one.p_value:.2g}"
    return f"{one.gain.value or 0.0:+.2g} {unit} of {aim}, {chance}"
