"""A canvas of the scenes for pictures of shapes and letters: no art has to be fetched for it. Knows no suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmguard_research.scenes.canvas import Canvas
from xmguard_research.scenes.concepts import Rgb

if TYPE_CHECKING:
    from PIL import Image


class NoArt:
    """Art that has no emoji, for what is letters and shapes alone."""

    def emoji(self, emoji: str) -> Image.Image:
        """Has none.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{emoji}: there are no emoji on this canvas")


def blank(colour: Rgb, size: int) -> Canvas:
    """A canvas of one colour, `size` pixels wide and high."""
    canvas = Canvas(NoArt(), size)
    canvas.image.paste(colour, (0, 0, size, size))
    return canvas
