"""Figures of analyses: a grid of panels, curves with their intervals, heat maps; written as SVG that never changes.

Draws on canvases of its own and leaves pyplot's global state alone. Importing it needs matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xmguard_research.metrics import Estimate
from xmguard_research.metrics.draws import Array

IN_A_LINE = 3
WIDTH, HEIGHT = 4.2, 3.2
"""Inches of a panel."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito's, which readers who confuse red and green tell apart."""
_SMALL = 7


def panels(titles: Sequence[str], across: str, up: str) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for every title, and what the axes of all are."""
    columns = min(len(titles), IN_A_LINE)
    lines = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * lines), layout="constrained")
    made = [figure.add_subplot(lines, columns, place) for place in range(1, len(titles) + 1)]
    for axis, title in zip(made, titles, strict=True):
        axis.set_title(title, fontsize=9, parse_math=False)
        axis.tick_params(labelsize=_SMALL)
    figure.supxlabel(across, fontsize=8)
    figure.supylabel(up, fontsize=8)
    return figure, made


def curve(
    axis: Axes, x: Sequence[float], points: Sequence[Estimate], label: str, colour: int, *, style: str = "-"
) -> None:
    """A line through the values that are defined, and a band of their intervals."""
    known = [
        (at, one.value, one.low, one.high)
        for at, one in zip(x, points, strict=True)
        if one.value is not None and one.low is not None and one.high is not None
    ]
    if not known:
        return
    at, value, low, high = (list(column) for column in zip(*known, strict=True))
    shade = COLOURS[colour % len(COLOURS)]
    marker = "o" if len(known) <= 12 else ""
    axis.plot(at, value, style, color=shade, marker=marker, markersize=3, linewidth=1.2, label=label)
    axis.fill_between(at, low, high, color=shade, alpha=0.15, linewidth=0)


def bars(axis: Axes, names: Sequence[str], points: Sequence[Estimate]) -> None:
    """A bar for every value, with its interval."""
    for place, one in enumerate(points):
        if one.value is None or one.low is None or one.high is None:
            continue
        reach = [[max(0.0, one.value - one.low)], [max(0.0, one.high - one.value)]]
        axis.bar(place, one.value, color=COLOURS[place % len(COLOURS)], yerr=reach, capsize=3, width=0.7)
    axis.set_xticks(range(len(names)), names, fontsize=_SMALL)
    axis.axhline(0.0, color="grey", linewidth=0.5)


def heat(figure: Figure, axes: Sequence[Axes], maps: Sequence[Array], unit: str) -> None:
    """Signed numbers, one a cell, on one colour scale that is the same on both sides of 0; what is nan stays empty."""
    found = np.concatenate([one.ravel() for one in maps])
    found = np.abs(found[np.isfinite(found)])
    largest = float(found.max()) if found.size and found.max() > 0 else 1.0
    for axis, one in zip(axes, maps, strict=True):
        image = axis.imshow(one, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=list(axes)).set_label(unit, fontsize=8)


def legend(axis: Axes) -> None:
    """Say which line is which, if there are any."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=_SMALL, loc="best")


def svg(figure: Figure, *, salt: str) -> bytes:
    """The figure as SVG, the same bytes every time."""
    file = BytesIO()
    with rc_context({"svg.hashsalt": salt}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
