"""What was scored, as pictures: ROC curves and reliability, a panel per yardstick. Importing it needs matplotlib.

Draws on a canvas of its own and leaves pyplot's global state alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from xmguard_research.metrics import FALSE_ALARMS, reliability
from xmguard_research.verdict.baselines import OVERLAP
from xmguard_research.verdict.report import VERDICT, Row, by_yardstick, columns

IN_A_LINE = 3
SIDE, DPI = 4.2, 120
"""Inches of a panel's side, pixels per inch."""


def roc(rows: Sequence[Row], neutral: Mapping[str, float], path: Path) -> bool:
    """ROC curves of every score on every yardstick that has both classes; False, and no file, if none has."""
    panels = {name: own for name, own in by_yardstick(rows).items() if len({row.pair.conflict for row in own}) == 2}
    if not panels:
        return False
    figure, axes = _panels(len(panels))
    for axis, (name, own) in zip(axes, panels.items(), strict=True):
        conflict = [row.pair.conflict for row in own]
        for score, (values, _) in columns(own, neutral).items():
            false_alarms, recall, _ = roc_curve(conflict, values)
            strong = score in (VERDICT, OVERLAP)
            axis.plot(false_alarms, recall, label=score, linewidth=2 if strong else 1, alpha=1 if strong else 0.7)
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
        axis.axvline(FALSE_ALARMS, color="grey", linewidth=0.5, linestyle=":")
        axis.set(title=f"{name}, {len(own)} pairs", xlabel="false alarms", ylabel="recall", xlim=(0, 1), ylim=(0, 1))
        axis.legend(fontsize=6, loc="lower right")
    figure.savefig(path, dpi=DPI)
    return True


def calibration(rows: Sequence[Row], path: Path) -> bool:
    """Share of conflicts by probability, with the pairs in each bin; False, and no file, without probabilities."""
    known = by_yardstick([row for row in rows if row.probability is not None])
    if not known:
        return False
    figure, axes = _panels(len(known))
    for axis, (name, own) in zip(axes, known.items(), strict=True):
        probabilities = [row.probability for row in own if row.probability is not None]
        bins = reliability([row.pair.conflict for row in own], probabilities)
        axis.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
        axis.plot([one.probability for one in bins], [one.conflicts for one in bins], marker="o", markersize=4)
        for one in bins:
            axis.annotate(
                str(one.pairs), (one.probability, one.conflicts), xytext=(3, 4), textcoords="offset points", fontsize=6
            )
        axis.set(
            title=f"{name}, {len(own)} pairs",
            xlabel="mean probability of the bin (pairs in it beside the point)",
            ylabel="share of conflicts",
            xlim=(-0.03, 1.05),
            ylim=(-0.03, 1.05),
        )
        axis.xaxis.label.set_fontsize(7)
    figure.savefig(path, dpi=DPI)
    return True


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    across = min(count, IN_A_LINE)
    down = math.ceil(count / across)
    figure = Figure(figsize=(SIDE * across, SIDE * down), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(down, across, place) for place in range(1, count + 1)]
