"""Conflict detection rate and false alarms; the same four numbers say how good a judge is.

Source: the paper, section 2 (conflict detection rate: share of responses that a judge says mention a contradiction).
The consistent controls beside it are ours. Rates are of one variant, one span order and one prompt: never pool those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xmguard_research.metrics.columns import require_equal_lengths


@dataclass(frozen=True)
class Detection:
    """Counts; the rates leave out what nobody could judge, which is why that is counted beside them."""

    found: int
    """Conflicts that were reported."""
    missed: int
    """Conflicts that were not."""
    false_alarms: int
    """Controls that were reported as conflicts."""
    quiet: int
    """Controls that were not."""
    unjudged_conflicts: int
    unjudged_controls: int

    @property
    def sensitivity(self) -> float | None:
        """Found / (found + missed): the conflict detection rate. None without a judged conflict."""
        return _share(self.found, self.missed)

    @property
    def specificity(self) -> float | None:
        """Quiet / (quiet + false alarms). None without a judged control."""
        return _share(self.quiet, self.false_alarms)

    @property
    def false_alarm_rate(self) -> float | None:
        """1 - specificity, counted: false alarms / (false alarms + quiet)."""
        return _share(self.false_alarms, self.quiet)

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean of sensitivity and specificity; None unless both are defined."""
        if self.sensitivity is None or self.specificity is None:
            return None
        return (self.sensitivity + self.specificity) / 2


def detection_rates(conflict: Sequence[bool], reported: Sequence[bool | None]) -> Detection:
    """What was reported of conflicts and of consistent controls.

    Args:
        conflict: whether each row is a conflict (of a judge: what a person labelled the response).
        reported: whether a conflict was reported; None where the judge's own reply was malformed or missing.

    Raises:
        ValueError: the columns have different lengths, or something else than True, False or None was reported.

    >>> found = detection_rates([True, True, True, True, False, False], [True, False, False, None, True, False])
    >>> found.sensitivity, found.specificity, found.balanced_accuracy, found.unjudged_conflicts
    (0.3333333333333333, 0.5, 0.41666666666666663, 1)
    """
    require_equal_lengths(conflict=conflict, reported=reported)
    if unknown := [report for report in reported if report not in (True, False, None)]:
        raise ValueError(f"{unknown[0]!r} was reported; give True, False, or None where nothing could be judged")
    counts = Counter(zip(conflict, reported, strict=True))
    return Detection(
        found=counts[True, True],
        missed=counts[True, False],
        false_alarms=counts[False, True],
        quiet=counts[False, False],
        unjudged_conflicts=counts[True, None],
        unjudged_controls=counts[False, None],
    )


def _share(count: int, others: int) -> float | None:
    return count / (count + others) if count + others else None
