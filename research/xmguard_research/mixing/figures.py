"""Figures 6 and 7 of the paper at our scale: imbalance by arm, and detection by arm with the false alarms beside it.

Bars with their 95% intervals, in the colours and type of the reports' figures. Needs matplotlib; knows no file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from xmguard_research.metrics import Estimate
from xmguard_research.reports.drawing import BLUE, FAINT, QUIET, SMALL, STYLE, TEXT, Drawing, drawable, drawn

UNTRAINED = {"untouched": "#f2f2f2", "none": "#d9d9d9"}
GREYS, BLUES = ("#8c8c8c", "#5c5c5c", "#b3b3b3"), (BLUE, "#56b4e9", "#004a73")
"""Of arms that are trained, in their order: greys for what does not mix within an instance, blues for what does."""
ROW, PANEL, LEGEND = 1.9, 0.52, 0.75
"""Inches: height of a panel, width of a bar with its share of gaps, room for the legend."""
HATCH = "////"

Values = Mapping[tuple[str, str, str], Estimate]
"""By panel, group of bars and arm."""


@dataclass(frozen=True)
class Bars:
    """What is drawn in every group: a bar for each arm, or a plain one and a hatched one."""

    name: str
    values: Values
    hatched: bool = False


def bars(name: str, caption: str, **shown: Any) -> Drawing:
    """The bars of `figure` as a drawing.

    Args:
        name: of the file.
        caption: what is shown, in words.
        shown: as `figure` takes it.
    """
    with mpl.rc_context(STYLE):
        return drawn(name, caption, figure(**shown))


def figure(
    *,
    panels: Sequence[str],
    groups: Sequence[str],
    arms: Sequence[str],
    mixing: Collection[str],
    series: Sequence[Bars],
    label: str,
    percent: bool = False,
) -> Figure:
    """Bars by arm in groups, panels below each other.

    Args:
        panels: from top to bottom.
        groups: of bars, from left to right.
        arms: bars within a group, from left to right.
        mixing: those that mix within an instance.
        series: beside each other within an arm.
        label: of the axis of values.
        percent: whether values are shares, on an axis from 0 to 1.
    """
    shades = colours(arms, mixing)
    wide = len(arms) * len(series)
    made = Figure(
        figsize=(max(4.6, 1.0 + PANEL * len(groups) * (0.5 * wide + 0.7)), ROW * len(panels) + LEGEND),
        layout="constrained",
    )
    FigureCanvasAgg(made)
    axes = list(made.subplots(len(panels), 1, squeeze=False, sharex=True, sharey=True)[:, 0])
    for panel, axis in zip(panels, axes, strict=True):
        _panel(axis, panel, groups, shades, series)
        if len(panels) > 1:
            axis.set_title(drawable(panel), fontsize=TEXT, fontweight="bold", loc="left")
        _plain(axis, percent=percent)
    axes[-1].set_xticks(range(len(groups)), [drawable(group) for group in groups])
    made.supylabel(label, fontsize=TEXT)
    _legend(made, shades, series)
    return made


def colours(arms: Sequence[str], mixing: Collection[str]) -> dict[str, str]:
    """Colour of every arm; `mixing` are those that mix within an instance.

    >>> colours(["none", "dataset", "instance"], ["instance"])["instance"] == BLUE
    True
    """
    greys, blues = cycle(GREYS), cycle(BLUES)
    return {arm: UNTRAINED.get(arm) or next(blues if arm in mixing else greys) for arm in arms}


def _panel(axis: Axes, panel: str, groups: Sequence[str], shades: Mapping[str, str], series: Sequence[Bars]) -> None:
    step = 0.8 / (len(shades) * len(series))
    for place, group in enumerate(groups):
        for number, arm in enumerate(shades):
            for beside, one in enumerate(series):
                found = one.values.get((panel, group, arm))
                if found is None or found.value is None:
                    continue
                at = place - 0.4 + step * (number * len(series) + beside + 0.5)
                axis.bar(
                    at,
                    found.value,
                    width=step * 0.92,
                    color="white" if one.hatched else shades[arm],
                    edgecolor=QUIET if one.hatched and arm in UNTRAINED else shades[arm],
                    hatch=HATCH if one.hatched else None,
                    linewidth=0.8,
                    zorder=2,
                )
                _interval(axis, at, found)


def _interval(axis: Axes, at: float, found: Estimate) -> None:
    if found.value is not None and found.low is not None and found.high is not None and found.low < found.high:
        reach = [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]
        axis.errorbar(
            [at], [found.value], yerr=reach, fmt="none", ecolor="#1a1a1a", elinewidth=0.9, capsize=1.8, zorder=3
        )


def _plain(axis: Axes, *, percent: bool) -> None:
    if percent:
        axis.set_ylim(0.0, 1.04)
        axis.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    else:
        axis.set_ylim(bottom=0.0)
    axis.grid(axis="y", color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(length=0, labelsize=SMALL, pad=4)
    axis.tick_params(axis="x", labelsize=TEXT)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _legend(figure: Figure, shades: Mapping[str, str], series: Sequence[Bars]) -> None:
    handles: list[Any] = [
        Patch(facecolor=shade, edgecolor=QUIET, linewidth=0.4, label=drawable(arm)) for arm, shade in shades.items()
    ]
    if len(series) > 1:
        handles += [
            Patch(facecolor="white", edgecolor=QUIET, hatch=HATCH if one.hatched else None, label=one.name)
            for one in series
        ]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=SMALL,
        handletextpad=0.5,
        columnspacing=1.2,
        borderaxespad=0.2,
    )
