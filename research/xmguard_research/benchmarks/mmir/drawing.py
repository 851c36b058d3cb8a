"""Draws a page's elements where they stand, in the scenes' typefaces and emoji. Knows no kind of page."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from xmguard_research.benchmarks.mmir.page import Element, Page
from xmguard_research.scenes.assets import art
from xmguard_research.scenes.canvas import FACES, Canvas, mixed, readable_on
from xmguard_research.scenes.concepts import COLOURS, PAPERS, THINGS
from xmguard_research.scenes.documents import INK

if TYPE_CHECKING:
    from PIL import Image

SIZE = 672
"""Pixels: three for a unit, so that the smallest letters are about 20 pixels high."""
_LARGEST = 15.0


def draw(page: Page, *, style: str, size: int = SIZE) -> Image.Image:
    """The page, `size` pixels wide and high: RGB. Raises what `scenes.draw` raises."""
    random = Random(f"{page.look}/look")
    canvas = Canvas(art(style), size)
    canvas.image.paste(random.choice(PAPERS), (0, 0, size, size))
    face, colour = random.choice(FACES[:3]), random.choice(tuple(COLOURS.values()))
    for element in page.elements:
        _DRAWN[element.drawn](canvas, element, face, colour)
    return canvas.image


def _text(canvas: Canvas, element: Element, face: str, colour: Any) -> None:
    left, top, right, bottom = element.box
    _line(canvas, element.says, (left, (top + bottom) / 2), right - left, bottom - top, face, INK)


def _banner(canvas: Canvas, element: Element, face: str, colour: Any) -> None:
    canvas.board(element.box, colour)
    left, top, right, bottom = element.box
    _line(canvas, element.says, (left + 8, (top + bottom) / 2), right - left - 16, 18, face, readable_on(colour))


def _line(
    canvas: Canvas, text: str, at: tuple[float, float], room: float, height: float, face: str, colour: Any
) -> None:
    """As large as it fits."""
    size = min(_LARGEST, 0.72 * height)
    size *= min(1.0, room / canvas.width(text, face=face, size=size))
    canvas.text(text, at, face=face, size=size, colour=colour, anchor="lm")


def _picture(canvas: Canvas, element: Element, face: str, colour: Any) -> None:
    left, top, right, bottom = element.box
    thing, count = element.shows
    canvas.board(element.box, (255, 255, 255), outline=mixed(colour, (0, 0, 0), 0.3))
    columns = 1 if count == 1 else 2 if count <= 4 else 3
    rows = -(-count // columns)
    wide, high = (right - left) / columns, (bottom - top) / rows
    for number in range(count):
        centre = (left + (number % columns + 0.5) * wide, top + (number // columns + 0.5) * high)
        canvas.emoji(THINGS[thing].emoji, centre, 0.8 * min(wide, high))


def _chart(canvas: Canvas, element: Element, face: str, colour: Any) -> None:
    left, top, right, bottom = element.box
    names, values = element.shows
    step, floor = (right - left) / len(names), bottom - 14
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        middle = left + (number + 0.5) * step
        height = (floor - top - 14) * value / max(values)
        canvas.board((middle - 0.35 * step, floor - height, middle + 0.35 * step, floor), colour)
        canvas.text(name, (middle, bottom - 6), face=face, size=10, colour=INK, anchor="mm")
        canvas.text(str(value), (middle, floor - height - 6), face=face, size=10, colour=INK, anchor="mm")
    canvas.line((left, floor), (right, floor), INK, 1)


def _arrow(canvas: Canvas, element: Element, face: str, colour: Any) -> None:
    left, top, right, bottom = element.box
    middle, (side,) = (top + bottom) / 2, element.shows
    tip, end = (right, left) if side == "right" else (left, right)
    back = tip + (12 if side == "left" else -12)
    canvas.line((end, middle), (tip, middle), INK, 4)
    canvas.line((back, middle - 9), (tip, middle), INK, 4)
    canvas.line((back, middle + 9), (tip, middle), INK, 4)


_DRAWN = {"text": _text, "banner": _banner, "picture": _picture, "chart": _chart, "arrow": _arrow}
