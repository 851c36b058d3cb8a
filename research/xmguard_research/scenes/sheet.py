"""A contact sheet: pictures in a grid, with what is asked of them below, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from xmguard_research.scenes.assets import typeface
from xmguard_research.scenes.pictures import Picture

_GAP = 8
_LINE = 13
_MOST_LINES = 6


def sheet(pictures: Sequence[Picture], columns: int) -> Image.Image:
    """All of them, row by row, on white; a question that is too wide is cut, its answer is not."""
    font = ImageFont.truetype(typeface("DejaVuSans"), 10, layout_engine=ImageFont.Layout.BASIC)
    side = pictures[0].image.width
    wide, high = side + _GAP, side + _LINE * _MOST_LINES + _GAP
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * wide + _GAP, rows * high + _GAP), (255, 255, 255))
    pen = ImageDraw.Draw(whole)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        x, y = _GAP + column * wide, _GAP + row * high
        whole.paste(picture.image, (x, y))
        for line, question in enumerate(picture.questions):
            text = question.text
            while font.getlength(f"{text} {question.answer}") > side:
                text = text[:-2] + "…"
            at = (x, y + side + 2 + line * _LINE)
            pen.text(at, text, font=font, fill=(60, 60, 60))
            pen.text((at[0] + side, at[1]), question.answer, font=font, fill=(170, 20, 20), anchor="ra")
    return whole
