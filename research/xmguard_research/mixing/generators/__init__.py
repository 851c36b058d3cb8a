"""Generators of training items by name: what a recipe's `generator` may be.

Everything is made of the texts in `xmguard_research.mixing.corpus`, the same items for the same options. Items are as
recipes' JSONL files have them; `meta` says how each was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xmguard_research.mixing.generators.cross import cross
from xmguard_research.mixing.generators.options import CrossOptions, PairsOptions, ReadingOptions, parsed
from xmguard_research.mixing.generators.pairs import pairs
from xmguard_research.mixing.generators.reading import reading

Generator = Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]]
"""From options to items. Raises ValueError, when called, for options that it does not have or cannot fulfil."""

GENERATORS: Mapping[str, Generator] = {
    "reading": lambda options: reading(parsed(ReadingOptions, options)),
    "pairs": lambda options: pairs(parsed(PairsOptions, options)),
    "cross": lambda options: cross(parsed(CrossOptions, options)),
}
"""By name."""
