"""What finds the conflicts of any suite of texts without reading, by variant: words, numbers, or one text alone.

Knows no suite. A suite that one of these solves says little about a model that could do the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table

from xmguard_research.benchmarks.cases import Case
from xmguard_research.benchmarks.rates import Rule, rates, shown
from xmguard_research.metrics import Bootstrap, Estimate, auroc, won_within_items
from xmguard_research.verdict.baselines import NEUTRAL, foreign_numbers, without_model, word_overlap
from xmguard_research.verdict.pairs import Label, Pair


@dataclass(frozen=True)
class Separation:
    """How far a score tells conflicts from controls, in one variant."""

    name: str
    variant: str
    auroc: Estimate
    """Interval by item."""


def pairs_of(cases: Iterable[Case]) -> Mapping[str, Sequence[Pair]]:
    """Cases of two texts as pairs, by variant."""
    groups: defaultdict[str, list[Pair]] = defaultdict(list)
    for case in cases:
        first, second = case.spans
        texts, languages = (first.text or "", second.text or ""), (first.language or "und", second.language or "und")
        label = Label.CONFLICT if case.conflict else Label.CONSISTENT
        groups[case.variant].append(Pair(case.id, case.item, case.variant, case.question, texts, languages, label))
    return groups


def rules(cases: Iterable[Case]) -> list[Rule]:
    """`texts differ`, and `numbers differ`: one of the texts has a number that the other lacks."""
    said = rates(
        ((name, variant), pair.conflict, differs(pair))
        for variant, pairs in pairs_of(cases).items()
        for name, differs in _RULES.items()
        for pair in pairs
    )
    return [Rule(*key, *shares) for key, shares in said.items()]


def separations(cases: Iterable[Case]) -> list[Separation]:
    """Every baseline of the verdict's yardsticks, a missing score counting as neither."""
    found = []
    for variant, pairs in pairs_of(cases).items():
        bootstrap = Bootstrap([pair.item for pair in pairs])
        labels = [pair.conflict for pair in pairs]
        for name, scores in without_model(pairs).items():
            filled = [NEUTRAL[name] if score is None else score for score in scores]
            found.append(Separation(name, variant, bootstrap.estimate(auroc, labels, filled)))
    return found


def overlap(pairs: Sequence[Pair]) -> tuple[Estimate, Estimate]:
    """AUROC of word overlap; see `ranked`."""
    return ranked(pairs, [word_overlap(pair) for pair in pairs])


def ranked(pairs: Sequence[Pair], scores: Sequence[float]) -> tuple[Estimate, Estimate]:
    """AUROC over all pairs, and with each conflict compared to the controls of its own item only; intervals by item."""
    items, labels = [pair.item for pair in pairs], [pair.conflict for pair in pairs]
    bootstrap = Bootstrap(items)
    return (
        bootstrap.estimate(auroc, labels, scores),
        bootstrap.of_sums(np.divide, *won_within_items(items, labels, scores)),
    )


def tables(cases: Sequence[Case]) -> list[Table]:
    """Both of them, to be printed."""
    by_rule = Table("rule", "variant", "detected", "false alarms", box=box.SIMPLE)
    for rule in rules(cases):
        by_rule.add_row(rule.name, rule.variant, shown(rule.detected), shown(rule.false_alarms))
    by_score = Table("score", "variant", "AUROC", "95% from", "to", box=box.SIMPLE)
    for one in separations(cases):
        found = one.auroc
        by_score.add_row(one.name, one.variant, *(shown(value) for value in (found.value, found.low, found.high)))
    return [by_rule, by_score]


_RULES: Mapping[str, Callable[[Pair], bool]] = {
    "texts differ": lambda pair: pair.texts[0] != pair.texts[1],
    "numbers differ": lambda pair: bool(foreign_numbers(pair)),
}
