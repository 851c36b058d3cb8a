"""What finds pairs without looking or reading: always one pair, any pair, and rules that know the values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from xmguard_research.benchmarks.cards import Baselines
from xmguard_research.benchmarks.mmir.page import CATEGORIES, Item, Page, Relation

_Pair = tuple[str, str]


def _broken(page: Page, known: Callable[[Relation], bool]) -> list[_Pair]:
    """Pairs whose relation does not hold, of those relations that a rule knows."""
    return [(one.first, one.second) for one in page.kind.relations if known(one) and not one.holds(page.values)]


def _in_words(page: Page) -> Callable[[Relation], bool]:
    written = {one.name for one in page.elements if one.drawn in ("text", "banner")}
    return lambda relation: {relation.first, relation.second} <= written


def table(drawn: Sequence[Item]) -> Baselines:
    """Choice score of each rule in each category, and share of the controls that it leaves alone."""
    pairs: Mapping[str, Counter[_Pair]] = {item.control.kind.name: Counter() for item in drawn}
    for item in drawn:
        pairs[item.control.kind.name][item.relation.first, item.relation.second] += 1
    rules: Mapping[str, Callable[[Page], list[_Pair]]] = {
        "none": lambda page: [],
        "the most frequent pair of the kind of page": lambda page: [pairs[page.kind.name].most_common(1)[0][0]],
        "the templates' relations, in the words alone": lambda page: _broken(page, _in_words(page)),
        "the templates' relations, in words and drawings": lambda page: _broken(page, lambda relation: True),
    }
    rows = [["rule", *CATEGORIES, "controls"], _any_pair(drawn)]
    for name, rule in rules.items():
        scores = [
            [_score(item, rule(item.inconsistent)) for item in drawn if item.relation.category == category]
            for category in CATEGORIES
        ]
        alone = [float(not rule(item.control)) for item in drawn]
        rows.append([name, *(f"{sum(own) / len(own):.2f}" for own in [*scores, alone])])
    return rows


def _score(item: Item, said: Sequence[_Pair]) -> float:
    right = {item.relation.first, item.relation.second}
    return max((len(right & set(pair)) / 2 for pair in said[:1]), default=0.0)


def _any_pair(drawn: Sequence[Item]) -> list[str]:
    """Two elements at random: each of the two is hit with probability 2 / n, so that 2 / n is the mean score too."""
    means = [
        [2 / len(item.control.elements) for item in drawn if item.relation.category == category]
        for category in CATEGORIES
    ]
    return ["any two elements", *(f"{sum(own) / len(own):.2f}" for own in means), "0.00"]
