"""The suite's card: which data it is, to the byte, and what its pages look like where they were made.

`card.json` is changed by hand, together with its version, when the data are meant to change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from io import BytesIO

from PIL import Image

from xmguard_research.benchmarks.pixels.items import Item, items, line
from xmguard_research.benchmarks.pixels.page import PIXELS, Page, png

LOOKED_AT = 7
"""Topics whose pages have a digest."""


@dataclass(frozen=True)
class Card:
    """What `items()` gives."""

    suite: str
    version: str
    licence: str
    """SPDX identifier."""
    topics: int
    seed: int
    items: int
    sha256: str
    """Of the items as JSON lines."""
    pillow: str
    """Release that drew the pages; another, another FreeType or another matplotlib may letter otherwise."""
    freetype: str
    matplotlib: str
    """It brings the typefaces."""
    pages: str
    """SHA-256 of the first `LOOKED_AT` topics' pages, as RGB."""


def card() -> Card:
    """The card in the package."""
    text = (files("xmguard_research.benchmarks.pixels") / "card.json").read_text(encoding="utf-8")
    return Card(**json.loads(text))


def digest(items: Iterable[Item]) -> str:
    """SHA-256 of the items as `items.line` writes them."""
    total = sha256()
    for item in items:
        total.update(line(item))
    return total.hexdigest()


def pages(items: Iterable[Item]) -> list[Page]:
    """Every page of the items once, in their order."""
    return list(dict.fromkeys(source.page for item in items for source in item.sources if source.page))


def drawn_digest() -> str:
    """SHA-256 of the pixels of the first pages of the suite."""
    total = sha256()
    for one in pages(items(LOOKED_AT)):
        with Image.open(BytesIO(png(one, PIXELS))) as picture:
            total.update(picture.convert("RGB").tobytes())
    return total.hexdigest()
