"""A picture as a small PNG file, which a suite holds thousands of. Knows no suite."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

PNG = "image/png"
_COLOURS = 256


def small(picture: Image.Image) -> bytes:
    """A PNG file of the picture in a palette of at most 256 colours: of a drawn scene about a quarter of the bytes."""
    stream = BytesIO()
    palette = picture.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette.save(stream, "PNG")
    return stream.getvalue()
