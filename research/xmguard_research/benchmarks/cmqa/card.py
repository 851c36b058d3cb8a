"""The suite's card: which data it is, to the byte, and what its pictures look like where they were made.

`card.json` is changed by hand, together with its version, when the data are meant to change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from io import BytesIO

from PIL import Image

from xmguard_research.benchmarks.cmqa.items import Item, items, line
from xmguard_research.benchmarks.cmqa.pictures import png
from xmguard_research.scenes import KINDS

LOOKED_AT = len(KINDS)
"""Triples whose pictures have a digest: one of each kind of scene."""


@dataclass(frozen=True)
class Card:
    """What `items()` gives."""

    suite: str
    version: str
    licence: str
    """SPDX identifier."""
    triples: int
    seed: int
    items: int
    sha256: str
    """Of the items as JSON lines: ids, texts, answers, and whatever determines a picture but its style."""
    pillow: str
    """Release that drew the pictures; another, or another FreeType, may round otherwise."""
    freetype: str
    pictures: Mapping[str, str]
    """Style to the SHA-256 of the first `LOOKED_AT` triples' pictures, as RGB."""


def card() -> Card:
    """The card in the package."""
    text = (files("xmguard_research.benchmarks.cmqa") / "card.json").read_text(encoding="utf-8")
    return Card(**json.loads(text))


def digest(items: Iterable[Item]) -> str:
    """SHA-256 of the items as `items.line` writes them."""
    total = sha256()
    for item in items:
        total.update(line(item))
    return total.hexdigest()


def drawn_digest(style: str) -> str:
    """SHA-256 of the pixels of the first pictures of the suite.

    Raises:
        SetupIncomplete: the style's art is not on this machine.
    """
    total = sha256()
    scenes = {
        source.scene: None
        for item in items(LOOKED_AT, seed=card().seed, variants=["image-image"])
        for source in item.sources
    }
    for scene in scenes:
        with Image.open(BytesIO(png(scene, style))) as picture:
            total.update(picture.convert("RGB").tobytes())
    return total.hexdigest()
