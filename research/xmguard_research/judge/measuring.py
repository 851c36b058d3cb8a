"""How good a judge is, from labelled responses: sensitivity, specificity, agreement, and what it did not judge.

Pure. Malformed replies and errors are counted and left out of the rates; a rate says how many it was taken over.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xmguard_research.judge.labelled import LabelledResponse
from xmguard_research.judge.values import Judgement, Status

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """A share of a number of responses."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """0 to 1; NaN of no responses."""
        return self.hits / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval at `CONFIDENCE`; all of 0 to 1 for no responses."""
        from scipy.stats import binomtest

        if not self.total:
            return 0.0, 1.0
        found = binomtest(self.hits, self.total).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Quality:
    """A judge on some labelled responses."""

    sensitivity: Rate
    """Judged to say a conflict, of those judged that do say one."""
    specificity: Rate
    """Judged not to, of those judged that do not."""
    kappa: float
    """Cohen's, labels against judgements, over those judged; NaN if both are all of one kind, or none is judged."""
    unjudged: Counter[Status]
    """MALFORMED and ERROR."""

    @property
    def responses(self) -> int:
        """Judged or not."""
        return self.sensitivity.total + self.specificity.total + self.unjudged.total()


def quality(labelled: Sequence[LabelledResponse], judgements: Sequence[Judgement]) -> Quality:
    """How good the judgements are, in the order of the responses.

    Raises:
        ValueError: there are more of one than of the other.
    """
    pairs = list(zip(labelled, judgements, strict=True))
    said = [(one.says_conflict, by.mentions_conflict) for one, by in pairs if by.mentions_conflict is not None]
    found = Counter(said)
    return Quality(
        Rate(found[True, True], found[True, True] + found[True, False]),
        Rate(found[False, False], found[False, False] + found[False, True]),
        _kappa(said),
        Counter(by.status for by in judgements if by.status is not Status.PARSED),
    )


def _kappa(said: Sequence[tuple[bool, bool]]) -> float:
    from sklearn.metrics import cohen_kappa_score

    labels, judged = [label for label, _ in said], [found for _, found in said]
    if len({*labels, *judged}) < 2:
        return math.nan
    return float(cohen_kappa_score(labels, judged))
