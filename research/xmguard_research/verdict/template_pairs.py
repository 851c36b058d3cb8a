"""The invented items as yardsticks: some kinds for a fit to learn what values are worth, the others to measure it.

Statements about pictures seldom differ in a number, a date or a price alone, so from them a fit cannot learn those.
"""

from __future__ import annotations

from xmguard_research.verdict.irrelevant import irrelevant_pairs
from xmguard_research.verdict.pairs import Pair
from xmguard_research.verdict.statements import Item, four_way_pairs
from xmguard_research.verdict.templates import YARDSTICK, template_items

TAUGHT = f"{YARDSTICK}-taught"
"""Yardstick of the kinds that a fit may learn from."""
IRRELEVANT = f"{YARDSTICK}-irrelevant"
TAUGHT_KINDS = frozenset({"activity", "city", "count", "dogs", "length", "price", "year"})
"""Seven of the fifteen kinds. The others are in no fit: neither their templates nor their things nor their answers."""


def template_pairs(count: int) -> list[Pair]:
    """Four-way pairs of the first `count` items under two names, and irrelevant pairs without a taught statement."""
    items = template_items(count)
    taught = [item for item in items if _is_taught(item)]
    said = {text for item in taught for text in (*item.support, *item.contradict)}
    return [
        *four_way_pairs(taught, TAUGHT),
        *four_way_pairs([item for item in items if not _is_taught(item)], YARDSTICK),
        *(pair for pair in irrelevant_pairs(items, yardstick=IRRELEVANT) if said.isdisjoint(pair.texts)),
    ]


def _is_taught(item: Item) -> bool:
    return item.name.rsplit("-", 1)[0] in TAUGHT_KINDS
