"""What finds ISEval's flaws without understanding: answers that are always the same, length, and template rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from xmguard_research.benchmarks.cards import Baselines
from xmguard_research.benchmarks.iseval.problems import ASIDES, CATEGORIES, Item

_SUMS = re.compile(r"(\d+) ([+x]) (\d+) = (\d+)")


def _knows_templates(text: str) -> bool:
    """Looks for the very words of the templates."""
    asides = "|".join(re.escape(one.split("}")[-1]) for one in ASIDES)
    traits = (
        rf"{asides}|\bsome\b|equally large|hours of|kilometres \w+ of|side of \d+ minutes|radius|diagonal"
        r"|one of the two|adds \d|three sides|There are \d+ \w+ on this|same tag says"
    )
    wrong = any(not _holds(one, sign, other, result) for one, sign, other, result in _SUMS.findall(text))
    return wrong or re.search(traits, text) is not None or bool(re.search(r"\+ \d+ = ", text))


def _holds(one: str, sign: str, other: str, result: str) -> bool:
    return (int(one) + int(other) if sign == "+" else int(one) * int(other)) == int(result)


def _looks(item: Item, pictured: bool, flawed: bool) -> bool:
    """The templates' rule, which may see the picture's number too."""
    text = item.text(flawed=flawed, pictured=pictured)
    shown = {"card": "count", "tag": "price", "sheet": "count"}[item.family]
    claimed = re.match(r"The picture (?:is|shows)[^.]*?(\d+)", text)
    differs = claimed is not None and claimed[1] != item.scene.values[shown].lstrip("€")
    return differs or _knows_templates(text)


RULES: Mapping[str, Callable[[Item, bool, bool], bool]] = {
    "always flawed": lambda item, pictured, flawed: True,
    "more than 70 characters": lambda item, pictured, flawed: len(item.text(flawed=flawed, pictured=pictured)) > 70,
    "a number appears twice": lambda item, pictured, flawed: _repeats(item.text(flawed=flawed, pictured=pictured)),
    "the templates' words": lambda item, pictured, flawed: _knows_templates(
        item.text(flawed=flawed, pictured=pictured)
    ),
    "the templates' words and the picture's number": _looks,
}


def _repeats(text: str) -> bool:
    numbers = re.findall(r"\d+", text)
    return len(set(numbers)) < len(numbers)


def table(drawn: list[Item]) -> Baselines:
    """Of each rule: share of flawed problems of every category that it calls flawed, and of sound ones."""
    rows = [["rule", *CATEGORIES, "sound"]]
    for name, rule in RULES.items():
        by_category = [
            [rule(item, pictured, True) for item in drawn if item.category == category for pictured in (False, True)]
            for category in CATEGORIES
        ]
        sound = [rule(item, pictured, False) for item in drawn for pictured in (False, True)]
        rows.append([name, *(f"{sum(said) / len(said):.2f}" for said in [*by_category, sound])])
    return rows
