"""What a modality makes of a span: pieces that an engine can encode.

Pure values; knows no engine and no file format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class TextPart:
    """A piece of a span that an engine's tokenizer encodes as plain text: template tokens in it stay text."""

    text: str
    start: int | None = None
    """Character of `Span.text` where the part begins, word for word; None for a part that is not cut from there."""


@dataclass(frozen=True)
class ImagePart:
    """A decoded picture, upright, without transparency.

    Raises:
        ValueError: there are not three bytes a pixel; a bug of the modality, not of a caller.
    """

    width: int
    height: int
    """In pixels."""
    rgb: bytes
    """sRGB, one byte a channel, row by row from the top left: `3 * width * height` bytes."""

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1 or len(self.rgb) != 3 * self.width * self.height:
            raise ValueError(f"a picture of {self.width} x {self.height} pixels cannot hold {len(self.rgb)} bytes")


Part = TextPart | ImagePart
TEXT, IMAGE = "text", "image"
"""What `Backend.modalities` calls encoding either part."""


def readable(modalities: Iterable[str], kinds: Collection[str]) -> tuple[str, ...]:
    """The modalities that a model reads which encodes parts of some kinds; one of another name hands over texts."""
    return tuple(name for name in modalities if name in kinds or name not in (TEXT, IMAGE))
