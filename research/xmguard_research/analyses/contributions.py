"""Contributions by source, layer and head, and whether the direct push toward the answer tells the same story.

Source: the paper, section 3 and Figure 4 (mean norms), section F and Figures 13 and 14 (layer by head). The log ratio,
the numbers per token and the directed contribution are ours (`metrics.imbalance`, `metrics.directed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from xmguard_research.analyses import drawing
from xmguard_research.analyses.groups import Group, groups, sides
from xmguard_research.analyses.outcome import Outcome, number, percent, plain
from xmguard_research.analyses.reading import Read
from xmguard_research.metrics import RESAMPLES, Bootstrap, Estimate, directed_preference, share
from xmguard_research.metrics.draws import Array

NAME = "contributions"
CAPTION = (
    "Contribution is the mean of ‖u‖ over layers, heads and the prompt's reader rows, without bias; a log ratio above "
    "0 means that side a contributes more. Norms grow with the length of a source, so both are given per token too. "
    "Equal norms are not the goal: u averaged over all layers stands in for what is written to the task's own "
    "subspace. 'Same larger' is the share of answers for which the source with the larger norm also adds more logit "
    "to the answer on the direct path; 'own answer' is the share of sources of conflicts that push toward their own "
    "known answer more than toward the other's. Intervals are 95%, bootstrapped over items."
)
COLUMNS = (
    *("group", "cases", "side a", "side b", "‖u‖ a", "‖u‖ b", "gap a − b", "log ratio", "gap per token"),
    *("log ratio per token", "same larger", "own answer"),
)


def outcome(rows: Sequence[Read], *, resamples: int = RESAMPLES) -> Outcome:
    """Table, curves by layer, heat maps of the log ratio by layer and head."""
    found = groups(rows)
    values = {group.name: numbers(group, resamples=resamples) for group in found}
    return Outcome(
        NAME,
        "What each source contributes, by layer and head",
        CAPTION,
        [COLUMNS, *(_row(group, values[group.name]) for group in found)],
        {"groups": plain(values)},
        {
            "norms.svg": _norms(found, values),
            "by-layer.svg": _by_layer(found, values),
            "log-ratio-by-head.svg": _by_head(found, values),
        },
    )


def numbers(group: Group, *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Every number of one group; estimates, and lists of them by layer."""
    readings = [row for _, row in group.rows]
    draws = Bootstrap(group.items, resamples=resamples)
    one = [1.0] * len(readings)
    norms = group.of_side([row.contributions for row in readings])
    per_token = group.of_side(
        [[norm / length for norm, length in zip(row.contributions, row.tokens, strict=True)] for row in readings]
    )
    layers = [
        group.of_side([row.by_layer[layer].tolist() for row in readings]) for layer in range(len(readings[0].by_layer))
    ]
    return {
        "cases": len(readings),
        "items": len(set(group.items)),
        "side_a": group.label_a,
        "side_b": group.label_b,
        "tokens_a": _mean(draws, group.of_side([row.tokens for row in readings])[0], one),
        "tokens_b": _mean(draws, group.of_side([row.tokens for row in readings])[1], one),
        "norm_a": _mean(draws, norms[0], one),
        "norm_b": _mean(draws, norms[1], one),
        "gap": draws.of_sums(_gap, *norms, one),
        "log_ratio": draws.of_sums(_log_ratio, *norms),
        "gap_per_token": draws.of_sums(_gap, *per_token, one),
        "log_ratio_per_token": draws.of_sums(_log_ratio, *per_token),
        "by_layer_a": [_mean(draws, a, one) for a, _ in layers],
        "by_layer_b": [_mean(draws, b, one) for _, b in layers],
        "log_ratio_by_head": _heads(group),
        **_directed(group, resamples),
    }


def _directed(group: Group, resamples: int) -> dict[str, Any]:
    """Does the direction say what the norm says? Only of answers, and of sources that are known to differ."""
    same, items = [], []
    own, of_source = [], []
    for case, row in group.rows:
        if row.toward_answer is not None:
            same.append(int(np.argmax(row.contributions)) == int(np.argmax(row.toward_answer)))
            items.append(case.item)
        if row.toward_known:
            toward_first, toward_second = row.toward_known
            first, second = directed_preference(toward_first, toward_second)
            own += [first > 0.0, second < 0.0]
            of_source += [case.item, case.item]
    return {
        "same_larger": share(same, items, resamples=resamples),
        "answers": len(same),
        "own_answer": share(own, of_source, resamples=resamples),
        "sources_of_conflicts": len(own),
    }


def _heads(group: Group) -> list[list[float | None]]:
    """Log ratio of the mean norms, [layer][head]; None where one is 0."""
    a = sum(row.by_head[:, :, sides(row.labels).a] for _, row in group.rows)
    b = sum(row.by_head[:, :, sides(row.labels).b] for _, row in group.rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(np.asarray(a) / np.asarray(b))
    return [[float(value) if np.isfinite(value) else None for value in layer] for layer in ratios]


def _mean(draws: Bootstrap, column: Sequence[float], one: Sequence[float]) -> Estimate:
    return draws.of_sums(np.divide, column, one)


def _gap(a: Array, b: Array, rows: Array) -> Array:
    return np.asarray((a - b) / rows)


def _log_ratio(a: Array, b: Array) -> Array:
    return np.asarray(np.log(a / b))


def _row(group: Group, found: Mapping[str, Any]) -> list[str]:
    gaps = ("norm_a", "norm_b", "gap", "log_ratio", "gap_per_token", "log_ratio_per_token")
    return [
        group.name,
        str(found["cases"]),
        group.label_a,
        group.label_b,
        *(number(found[name]) for name in gaps),
        percent(found["same_larger"]),
        percent(found["own_answer"]),
    ]


def _norms(found: Sequence[Group], values: Mapping[str, Mapping[str, Any]]) -> Figure:
    figure, axes = drawing.panels([group.name for group in found], "source", "contribution, mean ‖u‖")
    for axis, group in zip(axes, found, strict=True):
        own = values[group.name]
        drawing.bars(axis, [group.label_a, group.label_b], [own["norm_a"], own["norm_b"]])
    return figure


def _by_layer(found: Sequence[Group], values: Mapping[str, Mapping[str, Any]]) -> Figure:
    figure, axes = drawing.panels([group.name for group in found], "layer", "contribution, mean ‖u‖ over heads")
    for axis, group in zip(axes, found, strict=True):
        own = values[group.name]
        layers = range(len(own["by_layer_a"]))
        drawing.curve(axis, layers, own["by_layer_a"], group.label_a, 0)
        drawing.curve(axis, layers, own["by_layer_b"], group.label_b, 1)
        drawing.legend(axis)
    return figure


def _by_head(found: Sequence[Group], values: Mapping[str, Mapping[str, Any]]) -> Figure:
    titles = [f"{group.name}: {group.label_a} over {group.label_b}" for group in found]
    figure, axes = drawing.panels(titles, "head", "layer")
    maps = [np.array(values[group.name]["log_ratio_by_head"], dtype=np.float64) for group in found]
    drawing.heat(figure, axes, maps, "log ratio of mean ‖u‖, nats")
    return figure
