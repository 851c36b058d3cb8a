"""The suite's pages, and what they look like where they were made: the digest that its card has."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from io import BytesIO

from PIL import Image

from xmguard_research.benchmarks.pixels.items import Item, items
from xmguard_research.benchmarks.pixels.page import PIXELS, Page, png

LOOKED_AT = 7
"""Topics whose pages have a digest."""


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
