"""A scene as a small PNG file. Knows no question."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

from PIL import Image

from xmguard_research.scenes import Scene, draw

PNG = "image/png"
PIXELS = 224
"""Width and height."""
_COLOURS = 256
_KEPT = 16
"""Pictures of the same triple follow each other."""


@lru_cache(maxsize=_KEPT)
def png(scene: Scene, style: str) -> bytes:
    """The scene in an art style, in a palette of at most 256 colours, which is a quarter of the bytes.

    Raises:
        InvalidRequest: there is no such style.
        SetupIncomplete: its art is not on this machine; the message names the command that fetches it.
    """
    stream = BytesIO()
    palette = draw(scene, style=style, size=PIXELS).quantize(
        _COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    )
    palette.save(stream, "PNG")
    return stream.getvalue()
