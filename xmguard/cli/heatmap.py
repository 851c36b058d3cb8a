"""An explanation as a picture: layer by head, one panel per span. Importing it needs matplotlib.

Draws on a canvas of its own and leaves pyplot's global state alone. Knows no file and no flag.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator

from xmguard.explanation import Explanation
from xmguard.measurement import Cube
from xmguard.parts import TEXT
from xmguard.request import Scope
from xmguard.response import SpanReport

PANELS_IN_A_LINE = 6
WIDTH, LINE_HEIGHT, HEADING_HEIGHT, DPI = 10.0, 2.1, 0.45, 150
"""Inches, inches per line of panels and per heading, pixels per inch: 1500 pixels wide."""
_SMALL, _TEXT, _HEADING = 7, 8, 10
_TITLES_WIDTH = 1250
"""Pixels of the titles in one line of panels; the rest is scale and margins."""


@dataclass(frozen=True)
class _Map:
    """One quantity, drawn for every span on one colour scale."""

    heading: str
    unit: str
    cube: Cube
    largest: float
    signed: bool = False

    @property
    def scale(self) -> Normalize:
        # A few heads write ten times what the others do, and on a linear scale only they would be seen.
        return Normalize(-self.largest, self.largest) if self.signed else PowerNorm(0.5, 0.0, self.largest)

    def panel(self, span: int) -> list[list[float]]:
        """[layer][head] of one span."""
        return [[head[span + 1] for head in layer] for layer in self.cube]


def draw(explanation: Explanation) -> Figure:
    """The figure, 1500 pixels wide.

    Contributions without bias, with bias if one was applied, and toward the answer if one was shown. Each has a line of
    panels, or several for more than six spans, and one colour scale for all spans; the two kinds of contribution share
    theirs, in square roots.
    """
    maps = _maps(explanation)
    spans = explanation.response.spans
    lines = math.ceil(len(spans) / PANELS_IN_A_LINE)
    figure = Figure(
        figsize=(WIDTH, len(maps) * (lines * LINE_HEIGHT + HEADING_HEIGHT) + HEADING_HEIGHT),
        dpi=DPI,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    stamp = explanation.response.served_by
    figure.suptitle(f"{_drawable(stamp.model, 'model')}, {stamp.dtype}", fontsize=_HEADING, parse_math=False)
    for part, shown in zip(figure.subfigures(len(maps), 1, squeeze=False)[:, 0], maps, strict=True):
        _draw_map(part, shown, spans, lines)
    return figure


def png(explanation: Explanation) -> bytes:
    """The figure as a PNG file."""
    file = BytesIO()
    draw(explanation).savefig(file, format="png")
    return file.getvalue()


def _maps(explanation: Explanation) -> list[_Map]:
    biased, directed = explanation.biased, explanation.directed
    contributions = {"contribution without bias": explanation.before}
    if biased is not None:
        done = explanation.response.rebalancing
        rows = ", the answer's tokens" if done.scope is Scope.GENERATED else ""
        contributions[f"contribution with bias, policy {_drawable(done.policy, 'not drawable')}{rows}"] = biased
    largest = _largest(*(measured.norms for measured in contributions.values()))
    maps = [
        _Map(heading, "mean ‖u‖, square-root scale", measured.norms, largest)
        for heading, measured in contributions.items()
    ]
    if directed is not None:
        maps.append(
            _Map("toward the answer", "nats of logit per token", directed.logits, _largest(directed.logits), True)
        )
    return maps


def _largest(*cubes: Cube) -> float:
    """Largest magnitude of a span; 1 where all are 0, because a scale needs a width."""
    return max(abs(value) for cube in cubes for layer in cube for head in layer for value in head[1:]) or 1.0


def _draw_map(part: SubFigure, shown: _Map, spans: Sequence[SpanReport], lines: int) -> None:
    columns = math.ceil(len(spans) / lines)
    part.suptitle(shown.heading, fontsize=_HEADING, x=0.01, horizontalalignment="left", parse_math=False)
    part.supxlabel("head", fontsize=_TEXT)
    part.supylabel("layer", fontsize=_TEXT)
    grid = part.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    panels: list[Axes] = list(grid.flat)
    for index, (panel, span) in enumerate(zip(panels, spans, strict=False)):
        image = panel.imshow(
            shown.panel(index), cmap="RdBu_r" if shown.signed else "viridis", norm=shown.scale, aspect="auto"
        )
        panel.set_title(_title(span, index, columns), fontsize=_TEXT, parse_math=False)
        panel.tick_params(labelsize=_SMALL)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    for panel in panels[len(spans) :]:
        panel.remove()
    bar = part.colorbar(image, ax=panels[: len(spans)], aspect=12 * lines, pad=0.01)
    bar.set_label(shown.unit, fontsize=_TEXT)
    bar.ax.tick_params(labelsize=_SMALL)


def _title(span: SpanReport, index: int, columns: int) -> str:
    """Id, language or modality, and tokens, in the width of a panel."""
    number = f"#{index + 1}"
    name = _drawable(span.span_id, number)
    room = _TITLES_WIDTH / columns
    kept = len(name)
    while _width(name) > room:  # the number because ids may differ in what is left out
        kept -= 1
        name = f"{number} {span.span_id[: kept // 2]}…{span.span_id[-(kept // 2) :]}"
    kind = span.language if span.modality == TEXT else span.modality
    return f"{name}\n{kind}, {span.tokens} tokens"


def _drawable(text: str, otherwise: str) -> str:
    """The text, or what stands in for it where the font has no glyph for one of its characters."""
    font = get_font(findfont(FontProperties()))
    return text if all(font.get_char_index(ord(character)) for character in text) else otherwise


def _width(text: str) -> float:
    """Pixels that the text takes in a title."""
    font = get_font(findfont(FontProperties()))
    font.set_size(_TEXT, DPI)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64  # the font counts in 64ths
