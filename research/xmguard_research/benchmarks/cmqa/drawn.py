"""What the suite's pictures look like where they were made: the digest that its card has."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO

from PIL import Image

from xmguard_research.benchmarks.cmqa.items import items
from xmguard_research.benchmarks.cmqa.pictures import png
from xmguard_research.scenes import KINDS

LOOKED_AT = len(KINDS)
"""Triples whose pictures have a digest: one of each kind of scene."""


def drawn_digest(style: str) -> str:
    """SHA-256 of the pixels of the first pictures of the suite.

    Raises:
        SetupIncomplete: the style's art is not on this machine.
    """
    total = sha256()
    scenes = {source.scene: None for item in items(LOOKED_AT, variants=["image-image"]) for source in item.sources}
    for scene in scenes:
        with Image.open(BytesIO(png(scene, style))) as picture:
            total.update(picture.convert("RGB").tobytes())
    return total.hexdigest()
