"""Figures of a report: estimates with whiskers in panels side by side, and reliability diagrams.

Shape and fill say what colour says, so that a print in black and white reads the same. Labels are the few words of
prompts and variants; everything else stands in the caption. Draws on canvases of its own and leaves pyplot alone, and
the same numbers give the same bytes. Importing it needs matplotlib.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from xmguard_research.metrics import Bin, Estimate

BLUE, ORANGE = "#0072B2", "#D55E00"
"""They are told apart by everyone (Okabe and Ito), and in grey."""
INK, QUIET, FAINT, BAND = "#1a1a1a", "#6b6b6b", "#dcdcdc", "#f5f5f4"
PANEL, LABELS, LINE, DPI, ON_SCREEN = 2.55, 1.35, 0.3, 200, 112
"""Inches: a panel's width, the room for labels beside it, the height of a row. Pixels per inch: a PNG's, a screen's."""
SEPARATOR = "\n"
"""What stands before it makes a row's name unique, and is not shown."""
TEXT, SMALL = 8.0, 7.0
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "svg.fonttype": "none",
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Series:
    """What is drawn with one marker."""

    name: str
    marker: str
    colour: str
    filled: bool
    values: Mapping[tuple[str, str], Estimate]
    """By panel and row."""


@dataclass(frozen=True)
class Drawing:
    """A figure and how it is called."""

    name: str
    """Of its files."""
    caption: str
    svg: bytes
    png: bytes
    width: int
    """Pixels that it takes on a wide screen."""

    @property
    def inline(self) -> str:
        """As an element of a page, with what it shows for those who do not see it."""
        text = self.svg.decode("utf-8")
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
        text = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", text, count=1)
        text = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
        # Identifiers of several figures in one page must not meet.
        text = re.sub(r'\bid="([^"]+)"', rf'id="{self.name}-\1"', text)
        text = re.sub(r'"#([^"]+)"', rf'"#{self.name}-\1"', text)
        text = re.sub(r"url\(#([^)]+)\)", rf"url(#{self.name}-\1)", text)
        size = f"max-width:{self.width}px;min-width:min(34rem,{self.width}px)"
        head = f'<svg role="img" aria-label="{escape(self.caption)}" style="{size}"'
        return text.replace("<svg", head, 1)


def drawn(name: str, caption: str, figure: Figure) -> Drawing:
    """The figure as SVG and PNG, the same bytes for the same figure."""
    svg, png = BytesIO(), BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # everything has its place now, and finding it takes longer than drawing
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return Drawing(name, caption, svg.getvalue(), png.getvalue(), round(float(figure.get_size_inches()[0]) * ON_SCREEN))


def whiskers(
    name: str,
    caption: str,
    *,
    panels: Sequence[str],
    groups: Sequence[tuple[str, Sequence[str]]],
    series: Sequence[Series],
    label: str,
    percent: bool = False,
    middle: float | None = None,
) -> Drawing:
    """Estimates by row, a panel beside the other; groups of rows have a heading where there are several.

    Args:
        name: of the files.
        caption: what it shows.
        panels: from left to right.
        groups: headings and the rows below them, from top to bottom.
        series: from top to bottom within a row.
        label: of the axis.
        percent: whether values are shares, on an axis from 0 to 1.
        middle: value that a line marks.
    """
    places, marks = _places(groups)
    height = max(marks.values()) + 1.0
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(LABELS + PANEL * len(panels), LINE * height * max(1.0, len(series) / 3) + 1.0),
            layout="constrained",
        )
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0])
        for panel, axis in zip(panels, axes, strict=True):
            _panel(axis, panel, places, series)
            axis.set_title(panel if len(panels) > 1 or panel else "", fontsize=TEXT, fontweight="bold", loc="left")
            if middle is not None:
                axis.axvline(middle, color=QUIET, linewidth=0.8, zorder=1)
        _rows(axes[0], places, marks, height)
        _scale(axes, percent=percent, signed=middle is not None)
        figure.supxlabel(label, fontsize=TEXT)
        _legend(figure, series)
        return drawn(name, caption, figure)


def _places(groups: Sequence[tuple[str, Sequence[str]]]) -> tuple[dict[str, float], dict[str, float]]:
    """Heights of rows, and of rows and headings, from the top."""
    rows: dict[str, float] = {}
    marks: dict[str, float] = {}
    at = 0.0
    for heading, own in groups:
        if len(groups) > 1:
            marks[f"{heading}{SEPARATOR}{heading}"] = at
            at += 0.8
        for row in own:
            rows[row] = marks[row] = at
            at += 1.0
    return rows, marks


def _panel(axis: Axes, panel: str, places: Mapping[str, float], series: Sequence[Series]) -> None:
    step = min(0.24, 0.6 / max(1, len(series) - 1))
    for order, (row, at) in enumerate(places.items()):
        if order % 2 == 0:
            axis.axhspan(at - 0.5, at + 0.5, color=BAND, linewidth=0, zorder=0)
        for number, one in enumerate(series):
            found = one.values.get((panel, row))
            if found is None or found.value is None:
                continue
            height = at + (number - (len(series) - 1) / 2) * step
            if found.low is not None and found.high is not None:
                axis.hlines(height, found.low, found.high, color=one.colour, linewidth=1.1, zorder=2)
            axis.plot([found.value], [height], **_marker(one), zorder=3)


def _marker(one: Series) -> dict[str, Any]:
    return {
        "marker": one.marker,
        "linestyle": "none",
        "markersize": 5.2,
        "markeredgewidth": 1.2,
        "markeredgecolor": one.colour,
        "markerfacecolor": one.colour if one.filled else "white",
    }


def _rows(axis: Axes, places: Mapping[str, float], marks: Mapping[str, float], height: float) -> None:
    axis.set_ylim(height - 0.5, -0.6)
    axis.set_yticks(list(marks.values()), [drawable(name.rpartition(SEPARATOR)[2]) for name in marks])
    for name, tick in zip(marks, axis.get_yticklabels(), strict=True):
        if name not in places:
            tick.set_fontweight("bold")
            tick.set_fontsize(SMALL)


def _scale(axes: Sequence[Axes], *, percent: bool, signed: bool) -> None:
    first = axes[0]
    if percent and not signed:
        first.set_xlim(-0.04, 1.04)
        first.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    else:
        largest = max(abs(end) for end in first.get_xlim()) or 1.0
        first.set_xlim(-largest, largest)
        first.xaxis.set_major_locator(MaxNLocator(nbins=5))
    for axis in axes:
        if percent:
            axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
        axis.grid(axis="x", color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)
        axis.tick_params(length=0, labelsize=SMALL, pad=4)
        axis.tick_params(axis="y", labelsize=TEXT)
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)


def _legend(figure: Figure, series: Sequence[Series]) -> None:
    handles = [Line2D([], [], label=one.name, **_marker(one)) for one in series]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=2 if figure.get_size_inches()[0] < 6 else len(series),
        frameon=False,
        fontsize=SMALL,
        handletextpad=0.2,
        columnspacing=1.4,
        borderaxespad=0.2,
    )


def diagrams(name: str, caption: str, panels: Mapping[str, Sequence[Bin]]) -> Drawing:
    """Reliability: share of conflicts by probability, the number of responses at every point."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.45 + PANEL * len(panels), PANEL + 0.55), layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0])
        for (panel, bins), axis in zip(panels.items(), axes, strict=True):
            axis.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
            across, up = [one.probability for one in bins], [one.conflicts for one in bins]
            axis.plot(across, up, color=BLUE, linewidth=1.2, marker="o", markersize=4.5, zorder=3)
            for one in bins:
                below = one.conflicts > one.probability
                axis.annotate(
                    str(one.pairs),
                    (one.probability, one.conflicts),
                    xytext=(0, 5 if below else -5),
                    textcoords="offset points",
                    ha="center",
                    va="bottom" if below else "top",
                    fontsize=6,
                    color=QUIET,
                )
            axis.set_title(panel, fontsize=TEXT, fontweight="bold", loc="left")
            axis.set(xlim=(-0.05, 1.05), ylim=(-0.12, 1.12), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
            axis.grid(color=FAINT, linewidth=0.6)
            axis.tick_params(length=0, labelsize=SMALL)
            for side in ("top", "right"):
                axis.spines[side].set_visible(False)
        axes[0].set_ylabel("share of conflicts")
        figure.supxlabel("probability of a conflict, mean of the bin", fontsize=TEXT)
        return drawn(name, caption, figure)


def drawable(text: str) -> str:
    """The text, with a box for what the font lacks."""
    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    return "".join(letter if font.get_char_index(ord(letter)) else "□" for letter in text)
