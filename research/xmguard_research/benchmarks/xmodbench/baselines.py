"""What chooses options without understanding: always one letter, shared words, and the values themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from xmguard_research.benchmarks.cards import Baselines
from xmguard_research.benchmarks.xmodbench.items import LETTERS, SUBTASKS, Item


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[\w$€.]+", text.lower().replace(".\n", " ").rstrip(".")))


def _overlap(item: Item) -> int:
    context = _words(item.context_text)
    shared = [len(context & _words(text)) / len(context | _words(text)) for text in item.option_texts]
    return shared.index(max(shared))


def _others(item: Item) -> int:
    """Compares everything in the scenes but what is asked for, as one might who goes by general likeness."""
    slot = SUBTASKS[item.subtask].slot
    context = {(name, value) for name, value in item.context.items if name != slot}
    shared = [len(context & set(scene.items)) for scene in item.options]
    return shared.index(max(shared))


def _values(item: Item) -> int:
    return item.values.index(item.context.fact(SUBTASKS[item.subtask].slot).answer)


def table(drawn: Sequence[Item]) -> Baselines:
    """Share of the items of each subtask of which each rule chooses the right option."""
    majority = Counter(item.right for item in drawn).most_common(1)[0][0]
    rules: Mapping[str, Callable[[Item], int]] = {
        f"always {LETTERS[majority]}": lambda item: majority,
        "most shared words, text to text": _overlap,
        "most in common beside the asked, any direction": _others,
        "the values, any direction": _values,
    }
    rows = [["rule", *SUBTASKS]]
    for name, rule in rules.items():
        right = [[rule(item) == item.right for item in drawn if item.subtask == subtask] for subtask in SUBTASKS]
        rows.append([name, *(f"{sum(one) / len(one):.2f}" for one in right)])
    return rows
