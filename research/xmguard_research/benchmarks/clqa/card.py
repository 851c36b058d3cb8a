"""The suite's card: which data it is, to the byte.

`card.json` is changed by hand, together with its version, when the data are meant to change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from xmguard_research.benchmarks.clqa.files import line
from xmguard_research.benchmarks.clqa.items import Item


@dataclass(frozen=True)
class Card:
    """What `items(sizes=SIZES)` gives."""

    suite: str
    version: str
    licence: str
    """SPDX identifier."""
    babel: str
    """Release whose CLDR formats are in the data."""
    topics: int
    seed: int
    items: int
    sha256: str
    """Of the items as JSON lines."""


def card() -> Card:
    """The card in the package."""
    text = (files("xmguard_research.benchmarks.clqa") / "card.json").read_text(encoding="utf-8")
    return Card(**json.loads(text))


def digest(items: Iterable[Item]) -> str:
    """SHA-256 of the items as `files.write` writes them."""
    total = sha256()
    for item in items:
        total.update(line(item))
    return total.hexdigest()
