"""What finds the conflicts without reading: rules over the values in two paragraphs, and the words they share.

The rules know every value that an event can have and how each language writes it, and the spelling of the place that a
question names; they know no sentence. A suite that a rule solves says little about a model that could use the rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from xmguard_research.benchmarks.clqa.corpus import CLQA
from xmguard_research.benchmarks.clqa.events import Event
from xmguard_research.benchmarks.clqa.items import Item
from xmguard_research.benchmarks.clqa.paragraphs import Paragraph
from xmguard_research.benchmarks.clqa.values import CURRENCIES, domain, written
from xmguard_research.benchmarks.rates import rates
from xmguard_research.metrics import Estimate

Found = Sequence[tuple[int, str]]
"""First character and value of everything of the asked kind, in order."""


@dataclass(frozen=True)
class Rule:
    """How often a rule says that paragraphs contradict each other."""

    name: str
    variant: str
    size: str
    detected: float | None
    """Share of conflicts."""
    false_alarms: float | None
    """Share of controls."""


@dataclass(frozen=True)
class Overlap:
    """How far the words that are not shared tell conflicts from controls; intervals by topic."""

    variant: str
    size: str
    auroc: Estimate
    """Over all pairs."""
    within_topics: Estimate
    """The same, but a conflict is compared with the controls of its own topic only."""


def rules(items: Iterable[Item]) -> list[Rule]:
    """Every rule on every variant and size.

    `first value` and `last value` compare one of each paragraph; `none shared` and `not the same` compare all of them;
    `beside the place` compares those nearest to the name of the place that the question is about.
    """
    said = rates(
        ((name, item.variant, item.size), item.conflict, rule(item)) for item in items for name, rule in _RULES.items()
    )
    return [Rule(*key, *shares) for key, shares in said.items()]


def overlaps(items: Iterable[Item]) -> list[Overlap]:
    """Word overlap on every variant and size, as the verdict's yardsticks have it: minus the share of common words."""
    # scikit-learn, here only for a list of words, takes a second to import.
    from xmguard_research.benchmarks.baselines import overlap
    from xmguard_research.verdict.pairs import Label, Pair

    groups: defaultdict[tuple[str, str], list[Pair]] = defaultdict(list)
    for item in items:
        first, second = item.paragraphs
        label = Label.CONFLICT if item.conflict else Label.CONSISTENT
        pair = Pair(item.id, item.topic, "clqa", item.question, (first.text, second.text), item.languages, label)
        groups[item.variant, item.size].append(pair)
    return [Overlap(variant, size, *overlap(pairs)) for (variant, size), pairs in groups.items()]


def values_in(paragraph: Paragraph, event: Event) -> Found:
    """Every value of the event's kind that the text names; of overlapping ones the longest."""
    return _values_in(paragraph.text, paragraph.language, event)


@lru_cache(maxsize=1024)
def _values_in(text: str, code: str, event: Event) -> Found:
    found = [
        (start, start + len(surface), value)
        for value, surface in _surfaces(event, code)
        for start in _occurrences(text, surface)
    ]
    return sorted(
        (start, value)
        for start, end, value in found
        if not any(left <= start and end <= right and (left, right) != (start, end) for left, right, _ in found)
    )


@lru_cache(maxsize=256)
def _surfaces(event: Event, code: str) -> Sequence[tuple[str, str]]:
    values = dict.fromkeys(value for currency in CURRENCIES for value in domain(CLQA, event, currency))
    return [(value, written(event.kind, value, CLQA.language(code))) for value in values]


def _occurrences(text: str, surface: str) -> Iterable[int]:
    """Where it stands by itself: no digit or Latin letter of its own kind goes on before or after it."""
    start = text.find(surface)
    while start >= 0:
        end = start + len(surface)
        if not (_goes_on(text[start - 1 : start], surface[0]) or _goes_on(surface[-1], text[end : end + 1])):
            yield start
        start = text.find(surface, start + 1)


def _goes_on(before: str, after: str) -> bool:
    digits = before.isdigit() and after.isdigit()
    return digits or (before.isalpha() and after.isalpha() and max(before, after) < "\u3000")


def _place(item: Item) -> str:
    """The place that the question names, in its Latin spelling."""
    (place,) = (name for name in CLQA.english.places if name in item.question)
    return place


def _values(item: Item, side: int) -> Found:
    """What a paragraph names of the kind, but for the place that the question itself names."""
    asked = _place(item)
    return [one for one in values_in(item.paragraphs[side], CLQA.events[item.event]) if one[1] != asked]


def _beside(item: Item, side: int) -> str:
    own = item.paragraphs[side]
    places = list(_occurrences(own.text, CLQA.language(own.language).places[_place(item)]))
    return min(_values(item, side), key=lambda one: min(abs(one[0] - place) for place in places))[1]


def _set(item: Item, side: int) -> frozenset[str]:
    return frozenset(value for _, value in _values(item, side))


_RULES: Mapping[str, Callable[[Item], bool]] = {
    "first value": lambda item: _values(item, 0)[0][1] != _values(item, 1)[0][1],
    "last value": lambda item: _values(item, 0)[-1][1] != _values(item, 1)[-1][1],
    "none shared": lambda item: _set(item, 0).isdisjoint(_set(item, 1)),
    "not the same": lambda item: _set(item, 0) != _set(item, 1),
    "beside the place": lambda item: _beside(item, 0) != _beside(item, 1),
}
