"""What finds the conflicts without a model: rules over the words of two texts, one source alone, and the answers.

A rule of words knows every value that the asked fact can have, and no sentence; it has nothing to say where a source is
a picture. A suite that a rule solves says little about a model that could use the rule.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from xmguard_research.benchmarks.cmqa.items import Item, Source
from xmguard_research.benchmarks.rates import Rule, rates
from xmguard_research.metrics import Estimate
from xmguard_research.scenes.concepts import COUNT_WORDS, THINGS

ORACLE = "oracle"
"""Knows what each source answers: what a perfect reader gets, by construction."""


@dataclass(frozen=True)
class Ranking:
    """How far a score tells conflicts from controls; intervals by triple."""

    name: str
    variant: str
    auroc: Estimate
    """Over all items."""
    within_triples: Estimate
    """The same, but a conflict is compared with the controls of its own triple only."""


def rules(items: Iterable[Item]) -> list[Rule]:
    """Every rule on every variant that it can read."""
    said = rates(((name, item.variant), item.conflict, one) for item in items for name, one in _said(item))
    return [Rule(*key, *shares) for key, shares in said.items()]


def _said(item: Item) -> Iterator[tuple[str, bool]]:
    """What every rule says that can read the item."""
    for name, rule in _RULES.items():
        yield name, rule(item)
    if all(source.told for source in item.sources):
        first, second = (values_in(source, item) for source in item.sources)
        for name, compares in _OF_WORDS.items():
            yield name, compares(first, second)


def rankings(items: Iterable[Item]) -> list[Ranking]:
    """Shared words of two texts, and what a classifier makes of the words or the spec of one source alone."""
    # scikit-learn takes a second to import.
    from xmguard_research.benchmarks.baselines import ranked
    from xmguard_research.verdict.baselines import from_words, word_overlap
    from xmguard_research.verdict.pairs import Label, Pair

    by_variant: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_variant[item.variant].append(item)
    found = []
    for variant, own in by_variant.items():
        documents = [[_document(source) for source in item.sources] for item in own]
        pairs = [
            Pair(
                item.id,
                item.triple,
                "cmqa",
                item.question,
                (first, second),
                ("en", "en"),
                Label.CONFLICT if item.conflict else Label.CONSISTENT,
            )
            for item, (first, second) in zip(own, documents, strict=True)
        ]
        scores = {
            "first source alone": from_words(pairs, [first for first, _ in documents]),
            "second source alone": from_words(pairs, [second for _, second in documents]),
        }
        if variant == "text-text":
            scores["word overlap"] = [word_overlap(pair) for pair in pairs]
        for name, values in scores.items():
            said = [0.0 if value is None else value for value in values]
            found.append(Ranking(name, variant, *ranked(pairs, said)))
    return found


def values_in(source: Source, item: Item) -> frozenset[str]:
    """Values of the asked fact that a text names, without those that the question names itself."""
    text = source.told.text if source.told else ""
    (slot,) = (slot for slot in source.scene.layout.slots if slot.name == item.slot)
    return frozenset(
        value for value in slot.domain if _pattern(value).search(text) and not _pattern(value).search(item.question)
    )


@lru_cache(maxsize=4096)
def _pattern(value: str) -> re.Pattern[str]:
    """The value by itself, in letters or digits, one or more of them."""
    surfaces = [value, COUNT_WORDS.get(value, value), f"{value}s", THINGS[value].plural if value in THINGS else value]
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, surfaces))})(?!\w)", re.IGNORECASE)


def _document(source: Source) -> str:
    """A text, or the words of everything that determines a picture but its style."""
    if source.told:
        return source.told.text
    scene = source.scene
    return " ".join([scene.layout.name, *(f"{name} {value}" for name, value in scene.items), str(scene.look)])


_RULES: Mapping[str, Callable[[Item], bool]] = {
    "always": lambda item: True,
    ORACLE: lambda item: item.answers[0] != item.answers[1],
}
_OF_WORDS: Mapping[str, Callable[[frozenset[str], frozenset[str]], bool]] = {
    "no value shared": lambda first, second: first.isdisjoint(second),
    "values not the same": lambda first, second: first != second,
}
