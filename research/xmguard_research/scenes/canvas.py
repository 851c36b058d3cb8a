"""Drawing: backgrounds, emoji, shapes and text on one picture, in units of a 224 pixel picture.

Everything that is drawn and says something leaves a mark: where it is, in words.
Knows no scene. Text is laid out without raqm, so that it is the same wherever Pillow is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from xmguard_research.scenes.assets import Art, typeface
from xmguard_research.scenes.concepts import COLOURS, GROUNDS, SKIES, Rgb

UNITS = 224
"""A picture is this many units wide and high, whatever its size in pixels."""
FACES = ("DejaVuSans-Bold", "DejaVuSans", "DejaVuSerif-Bold", "DejaVuSansMono-Bold")
_FINER = 4
Box = tuple[float, float, float, float]
"""Left, top, right, bottom; units."""
Anchor = Literal["lm", "mm", "rm"]
"""Which point of a line of text is given, as Pillow names it: left, middle or right, at half its height."""
_BEFORE: dict[Anchor, float] = {"lm": 0.0, "mm": 0.5, "rm": 1.0}
"""Share of a line that is to the left of its anchor."""


@dataclass(frozen=True)
class Mark:
    """What a region of the picture says."""

    words: tuple[str, ...]
    """As in the scene's values, or as they are lettered: `("dog", "3")`, `("STOP",)`."""
    box: Box
    """Within the picture, and not empty. What was drawn later may cover part of it."""
    spelled: bool = False
    """Is it one character of a line of text? Then the word that it is part of has a mark of its own."""


class Canvas:
    """A square picture that is being drawn."""

    def __init__(self, art: Art, size: int) -> None:
        """`size`: width and height in pixels."""
        self.art = art
        self.size = size
        self.scale = size / UNITS
        self.image = Image.new("RGB", (size, size))
        self.pen = ImageDraw.Draw(self.image)
        self.marks: list[Mark] = []
        """In the order of drawing."""

    def panel(self, colour: str, random: Random, *, covered: bool = False) -> None:
        """One of `COLOURS` all over, a little lighter on one side; `covered`, it says nothing."""
        base = jittered(COLOURS[colour], random)
        self._gradient(mixed(base, (255, 255, 255), random.uniform(0.0, 0.22)), base, random.choice((0, 90, 180, 270)))
        self._noise(random)
        self._mark(() if covered else (colour,), (0, 0, UNITS, UNITS))

    def paper(self, colour: Rgb, random: Random) -> None:
        """A light colour that says nothing."""
        self.image.paste(jittered(colour, random), (0, 0, self.size, self.size))
        self._noise(random)

    def outdoors(self, sky: str, random: Random) -> float:
        """Sky in one of `SKIES` above a ground of any colour; returns the horizon in units from the top."""
        base = jittered(SKIES[sky], random)
        self._gradient(base, mixed(base, (255, 255, 255), random.uniform(0.1, 0.4)), 0)
        horizon = random.uniform(140, 172)
        ground = jittered(random.choice(GROUNDS), random)
        y = self.pixels(horizon)
        hill = random.uniform(0, 14)
        tilt = random.choice((-hill, hill))
        left, right = y + self.pixels(tilt), y - self.pixels(tilt)
        self.pen.polygon([(0, left), (self.size, right), (self.size, self.size), (0, self.size)], fill=ground)
        self._noise(random)
        self._mark((sky,), (0, 0, UNITS, horizon))
        return horizon

    def emoji(
        self,
        emoji: str,
        centre: tuple[float, float],
        size: float,
        *,
        turned: float = 0,
        mirrored: bool = False,
        says: tuple[str, ...] = (),
    ) -> None:
        """An emoji within a square of `size` units, turned by so many degrees after it was mirrored.

        The mark of what it `says` is the square before it was turned.
        """
        picture = self.art.emoji(emoji)
        side = self.pixels(size)
        factor = side / max(picture.size)
        small = picture.resize(
            (max(1, round(picture.width * factor)), max(1, round(picture.height * factor))),
            Image.Resampling.LANCZOS,
        )
        if mirrored:
            small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if turned:
            small = small.rotate(turned, Image.Resampling.BICUBIC, expand=True)
        self._paste(small, centre)
        self._mark(says, _around(centre, size))

    def shape(
        self, shape: str, centre: tuple[float, float], size: float, colour: Rgb, *, says: tuple[str, ...] = ()
    ) -> None:
        """One of `SHAPES` within a square of `size` units, which is the mark of what it `says`."""
        side = self.pixels(size)
        mask = _shape_mask(shape, side)
        picture = Image.new("RGBA", mask.size, colour)
        picture.putalpha(mask)
        self._paste(picture, centre)
        self._mark(says, _around(centre, size))

    def board(
        self, box: Box, colour: Rgb, *, radius: float = 0, outline: Rgb | None = None, says: tuple[str, ...] = ()
    ) -> None:
        """A filled rectangle, its corners rounded by `radius` units; it is the mark of what it `says`."""
        self.pen.rounded_rectangle(
            [self.pixels(edge) for edge in box],
            radius=self.pixels(radius),
            fill=colour,
            outline=outline,
            width=max(1, self.pixels(2)),
        )
        self._mark(says, box)

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: Rgb, width: float) -> None:
        """A straight line, `width` units thick."""
        ends = [(self.pixels(x), self.pixels(y)) for x, y in (start, end)]
        self.pen.line(ends, fill=colour, width=max(1, self.pixels(width)))

    def text(self, text: str, at: tuple[float, float], *, face: str, size: float, colour: Rgb, anchor: Anchor) -> None:
        """One line of text, `size` in units; every word leaves a mark, and every character of it a spelled one."""
        font = _font(face, self.pixels(size))
        self.pen.text((self.pixels(at[0]), self.pixels(at[1])), text, font=font, fill=colour, anchor=anchor)
        start = at[0] - _BEFORE[anchor] * self.width(text, face=face, size=size)
        edges = [start + self.width(text[:index], face=face, size=size) for index in range(len(text) + 1)]
        top, bottom = at[1] - size / 2, at[1] + size / 2
        for found in re.finditer(r"\S+", text):
            self._mark((found.group(),), (edges[found.start()], top, edges[found.end()], bottom))
            for index, character in enumerate(found.group(), start=found.start()):
                self._mark((character,), (edges[index], top, edges[index + 1], bottom), spelled=True)

    def width(self, text: str, *, face: str, size: float) -> float:
        """Of one line of text, in units."""
        return _font(face, self.pixels(size)).getlength(text) / self.scale

    def pixels(self, units: float) -> int:
        """Units in whole pixels."""
        return round(units * self.scale)

    def _mark(self, words: tuple[str, ...], box: Box, *, spelled: bool = False) -> None:
        """Of the part of the box that is in the picture, if there is one and it says something."""
        left, top, right, bottom = (min(max(edge, 0.0), float(UNITS)) for edge in box)
        if words and left < right and top < bottom:
            self.marks.append(Mark(words, (left, top, right, bottom), spelled))

    def _paste(self, picture: Image.Image, centre: tuple[float, float]) -> None:
        x, y = self.pixels(centre[0]), self.pixels(centre[1])
        self.image.paste(picture, (x - picture.width // 2, y - picture.height // 2), picture)

    def _gradient(self, first: Rgb, last: Rgb, angle: int) -> None:
        mask = _ramp(self.size).rotate(angle)
        whole = (self.size, self.size)
        self.image.paste(Image.composite(Image.new("RGB", whole, last), Image.new("RGB", whole, first), mask))

    def _noise(self, random: Random) -> None:
        """Grain, fine or coarse, up to 5% of full scale."""
        side = random.choice((self.size, self.size // 2, self.size // 8))
        grain = Image.frombytes("L", (side, side), random.randbytes(side * side))
        grain = grain.resize((self.size, self.size), Image.Resampling.BILINEAR)
        grey = Image.merge("RGB", (grain, grain, grain))
        self.image.paste(Image.blend(self.image, grey, random.uniform(0.0, 0.05)))


def jittered(colour: Rgb, random: Random) -> Rgb:
    """A colour near another: up to 10 of 255 darker or lighter, and up to 4 off in every channel."""
    shift = random.randint(-10, 10)
    red, green, blue = (max(0, min(255, channel + shift + random.randint(-4, 4))) for channel in colour)
    return red, green, blue


def mixed(colour: Rgb, other: Rgb, share: float) -> Rgb:
    """`share` of the other colour in the first."""
    red, green, blue = (round(x + share * (y - x)) for x, y in zip(colour, other, strict=True))
    return red, green, blue


def readable_on(colour: Rgb) -> Rgb:
    """Near-black on light colours and white on dark ones, by Rec. 601 luma."""
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return (20, 20, 24) if luma > 140 else (255, 255, 255)


def _around(centre: tuple[float, float], size: float) -> Box:
    half = size / 2
    return centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half


@lru_cache(maxsize=8)
def _ramp(size: int) -> Image.Image:
    return Image.linear_gradient("L").resize((size, size), Image.Resampling.BILINEAR)


@lru_cache(maxsize=512)
def _font(face: str, pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(typeface(face), pixels, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=512)
def _shape_mask(shape: str, side: int) -> Image.Image:
    edge = side * _FINER
    mask = Image.new("L", (edge, edge))
    pen = ImageDraw.Draw(mask)
    _SHAPES[shape](pen, edge - 1)
    return mask.resize((side, side), Image.Resampling.LANCZOS)


def _circle(pen: ImageDraw.ImageDraw, edge: int) -> None:
    pen.ellipse((0, 0, edge, edge), fill=255)


def _square(pen: ImageDraw.ImageDraw, edge: int) -> None:
    pen.rectangle((edge * 0.06, edge * 0.06, edge * 0.94, edge * 0.94), fill=255)


def _polygon(pen: ImageDraw.ImageDraw, edge: int, points: tuple[tuple[float, float], ...]) -> None:
    pen.polygon([(edge * x, edge * y) for x, y in points], fill=255)


def _triangle(pen: ImageDraw.ImageDraw, edge: int) -> None:
    _polygon(pen, edge, ((0.5, 0.04), (1, 0.94), (0, 0.94)))


def _star(pen: ImageDraw.ImageDraw, edge: int) -> None:
    outer = ((0.5, 0), (0.976, 0.345), (0.794, 0.905), (0.206, 0.905), (0.024, 0.345))
    inner = ((0.612, 0.345), (0.682, 0.559), (0.5, 0.691), (0.318, 0.559), (0.388, 0.345))
    _polygon(pen, edge, tuple(point for pair in zip(outer, inner, strict=True) for point in pair))


def _heart(pen: ImageDraw.ImageDraw, edge: int) -> None:
    pen.ellipse((0, edge * 0.06, edge * 0.54, edge * 0.6), fill=255)
    pen.ellipse((edge * 0.46, edge * 0.06, edge, edge * 0.6), fill=255)
    _polygon(pen, edge, ((0.055, 0.47), (0.945, 0.47), (0.5, 0.97)))


_SHAPES = {"circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "heart": _heart}
