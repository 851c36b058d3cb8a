"""A canvas of the scenes for pictures of shapes and letters: no art has to be fetched for it. Knows no suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmguard_research.scenes.canvas import Canvas
from xmguard_research.scenes.concepts import Rgb

if TYPE_CHECKING:
    from PIL import Image


class _NoEmoji:
    """Art that has no emoji."""

    def emoji(self, emoji: str) -> Image.Image:
        raise ValueError(f"{emoji}: there are no emoji on this canvas")


def blank(colour: Rgb, size: int) -> Canvas:
    """A canvas of one colour, `size` pixels wide and high."""
    canvas = Canvas(_NoEmoji(), size)
    canvas.image.paste(colour, (0, 0, size, size))
    return canvas
