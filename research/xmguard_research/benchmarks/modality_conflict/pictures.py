"""Draws an item's shapes: no art but the shapes of the scenes is needed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from xmguard_research.benchmarks.blank import blank
from xmguard_research.benchmarks.modality_conflict.items import LOOKS, Item
from xmguard_research.scenes.concepts import COLOURS, PAPERS

if TYPE_CHECKING:
    from PIL import Image

_COARSE = 4
"""Pixels of one grain of noise: finer noise is lost when a model makes the picture smaller."""


def draw(item: Item, tier: str, *, size: int = 224) -> Image.Image:
    """The picture of a tier, `size` pixels wide and high: RGB, the same bytes at every call on one machine."""
    random = Random(f"{item.seed}/look/{tier}")
    canvas = blank(random.choice(PAPERS), size)
    for one in item.shown(tier):
        canvas.shape(one.shape, (one.x, one.y), one.size, COLOURS[one.colour])
    return _noisy(canvas.image, LOOKS[tier].noise, random)


def _noisy(picture: Image.Image, share: float, random: Random) -> Image.Image:
    from PIL import Image

    if not share:
        return picture
    grains = picture.width // _COARSE
    noise = Image.frombytes("RGB", (grains, grains), random.randbytes(3 * grains * grains))
    return Image.blend(picture, noise.resize(picture.size, Image.Resampling.NEAREST), share)
