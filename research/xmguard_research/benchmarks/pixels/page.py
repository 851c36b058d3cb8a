"""A paragraph as a picture of a page. Knows no suite."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from xmguard.errors import InvalidRequest
from xmguard_research.benchmarks.blank import NoArt
from xmguard_research.benchmarks.pictures import small
from xmguard_research.scenes.assets import typeface
from xmguard_research.scenes.canvas import FACES, UNITS, Canvas
from xmguard_research.scenes.documents import INK, page
from xmguard_research.scenes.paragraphs import wrapped

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

PIXELS = 448
"""Width and height, unless told otherwise."""
_FACES = FACES[:3]
_MARGIN = 16.0
"""On every side, units of a picture that is 224 wide."""
_SIZES = tuple(half / 2 for half in range(40, 9, -1))
"""Of letters, units; the largest first."""
_LEADING = 1.3
_KEPT = 16
"""Pictures of the same topic follow each other."""


@dataclass(frozen=True)
class Page:
    """A paragraph in lines."""

    lines: tuple[str, ...]
    face: str
    size: float
    """Of the letters, units."""
    look: str
    """Seed of the paper, the desk and the typeface."""


@lru_cache(maxsize=_KEPT)
def laid_out(text: str, look: str) -> Page:
    """The text in about the largest letters in which it fits.

    Raises:
        InvalidRequest: it does not fit in letters that can be read, or the typeface lacks one of them.
    """
    face = Random(f"{look}:face").choice(_FACES)
    if missing := sorted({letter for letter in text if not letter.isspace() and not _has(face, letter)}):
        raise InvalidRequest.field("languages", f"there is no typeface for {''.join(missing[:8])!r}")
    canvas = Canvas(NoArt(), PIXELS)
    room = UNITS - 2 * _MARGIN

    def lines(size: float) -> list[str]:
        return wrapped(canvas, text, face=face, size=size, room=room)

    # Now and then a larger size than the one found fits as well: breaks fall as they will.
    place = bisect_left(_SIZES, True, key=lambda size: len(lines(size)) * size * _LEADING <= room)
    if place == len(_SIZES):
        raise InvalidRequest.field("size", f"{len(text)} characters do not fit on a page")
    return Page(tuple(lines(_SIZES[place])), face, _SIZES[place], look)


@lru_cache(maxsize=_KEPT)
def png(page_: Page, pixels: int) -> bytes:
    """The page as a PNG file, so many pixels wide and high."""
    canvas = Canvas(NoArt(), pixels)
    page(canvas, Random(f"{page_.look}:paper"))
    for row, line in enumerate(page_.lines):
        at = (_MARGIN, _MARGIN + (row + 0.5) * page_.size * _LEADING)
        canvas.text(line, at, face=page_.face, size=page_.size, colour=INK, anchor="lm")
    return small(canvas.image)


@lru_cache(maxsize=4096)
def _has(face: str, letter: str) -> bool:
    return bool(_font(face).get_char_index(ord(letter)))


@lru_cache(maxsize=len(_FACES))
def _font(face: str) -> FT2Font:
    from matplotlib.ft2font import FT2Font

    return FT2Font(typeface(face))
