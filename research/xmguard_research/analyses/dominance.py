"""Modality dominance: the answer's attention to one source against the other, and against their numbers of tokens.

MDI and AEI are `metrics.dominance`'s, with its choices: attention is the mean over the answer's tokens that were read
back, over heads and over the layers of a group; groups are thirds of the layers, and all. Over cases attention and
tokens are summed before anything is divided, which is one ratio of means, not a mean of ratios. Side a stands for text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from matplotlib.figure import Figure

from xmguard_research.analyses import drawing
from xmguard_research.analyses.groups import Group, groups
from xmguard_research.analyses.outcome import ABSENT, Outcome, number, percent, plain
from xmguard_research.analyses.reading import Read
from xmguard_research.metrics import RESAMPLES, Bootstrap, Estimate, by_depth
from xmguard_research.metrics.draws import Array

NAME = "dominance"
DEPTHS = ("early", "middle", "late", "all")
CAPTION = (
    "Attention of the answer's tokens to the sources, without bias: MDI = (A_a/|a|) / (A_b/|b|), above 1 means that a "
    "token of side a gets more; AEI is a side's share of the attention over its share of the tokens. Early, middle "
    "and late are thirds of the layers. 'Mass' is what the sources get of all attention: the rest goes to special and "
    "template tokens, the question and the answer, and is left out of the indices. Both indices drift with the number "
    "of tokens, which is why shares and tokens stand beside them. Intervals are 95%, bootstrapped over items."
)
COLUMNS = ("group", "layers", "answers", "side a", "side b", "mass a", "mass b", "share of a", "tokens a", "tokens b")
INDICES = ("MDI", "AEI a", "AEI b")


def outcome(rows: Sequence[Read], *, resamples: int = RESAMPLES) -> Outcome:
    """Table and the MDI by depth. Of an answer of fewer than two tokens nothing was read back: it is left out."""
    spoken = [(case, row) for case, row in rows if row.generated]
    found = groups(spoken)
    values = {group.name: numbers(group, resamples=resamples) for group in found}
    table = [[*COLUMNS, *INDICES]]
    for group in found:
        for depth, own in values[group.name].items():
            table.append(_row(group, depth, own))
    left_out = len(rows) - len(spoken)
    return Outcome(
        NAME,
        "Whose tokens the answer attends to",
        f"{CAPTION} {left_out} answers were too short to be measured.",
        table,
        {"groups": plain(values), "too_short": left_out},
        {"mdi.svg": _mdi(found, values)} if found else {},
    )


def numbers(group: Group, *, resamples: int = RESAMPLES) -> dict[str, dict[str, Estimate]]:
    """Estimates by depth; only `all` for a model of fewer than three layers."""
    draws = Bootstrap(group.items, resamples=resamples)
    tokens = group.of_side([row.tokens for _, row in group.rows])
    masses = {depth: group.of_side(columns) for depth, columns in _masses(group).items()}
    return {depth: _indices(draws, *own, *tokens) for depth, own in masses.items()}


def _masses(group: Group) -> dict[str, list[list[float]]]:
    """Depth to attention mass by source, of every row."""
    found: dict[str, list[list[float]]] = {}
    for _, row in group.rows:
        layers = row.masses[:, 1:]
        deep = len(layers) >= 3
        by_source = [asdict(by_depth(column)) if deep else {"all": float(column.mean())} for column in layers.T]
        for depth in DEPTHS if deep else DEPTHS[-1:]:
            found.setdefault(depth, []).append([one[depth] for one in by_source])
    return found


def _indices(
    draws: Bootstrap, a: Sequence[float], b: Sequence[float], tokens_a: Sequence[float], tokens_b: Sequence[float]
) -> dict[str, Estimate]:
    one = [1.0] * len(a)
    return {
        "mass_a": draws.of_sums(np.divide, a, one),
        "mass_b": draws.of_sums(np.divide, b, one),
        "share_a": draws.of_sums(lambda a, b: a / (a + b), a, b),
        "tokens_a": draws.of_sums(np.divide, tokens_a, one),
        "tokens_b": draws.of_sums(np.divide, tokens_b, one),
        "mdi": draws.of_sums(lambda a, b, ta, tb: (a / ta) / (b / tb), a, b, tokens_a, tokens_b),
        "aei_a": draws.of_sums(_efficiency, a, b, tokens_a, tokens_b),
        "aei_b": draws.of_sums(_efficiency, b, a, tokens_b, tokens_a),
    }


def _efficiency(mass: Array, other: Array, tokens: Array, other_tokens: Array) -> Array:
    return np.asarray((mass / (mass + other)) / (tokens / (tokens + other_tokens)))


def _row(group: Group, depth: str, own: Mapping[str, Estimate]) -> list[str]:
    return [
        *(group.name, depth, str(len(group.rows)), group.label_a, group.label_b),
        *(percent(own[name]) for name in ("mass_a", "mass_b", "share_a")),
        *(ABSENT if own[name].value is None else f"{own[name].value:.0f}" for name in ("tokens_a", "tokens_b")),
        *(number(own[name]) for name in ("mdi", "aei_a", "aei_b")),
    ]


def _mdi(found: Sequence[Group], values: Mapping[str, Mapping[str, Mapping[str, Estimate]]]) -> Figure:
    titles = [f"{group.name}: {group.label_a} over {group.label_b}" for group in found]
    figure, axes = drawing.panels(titles, "layers", "MDI; 1 is the same for a token of either")
    for axis, group in zip(axes, found, strict=True):
        own = values[group.name]
        drawing.bars(axis, list(own), [own[depth]["mdi"] for depth in own])
        axis.axhline(1.0, color="black", linewidth=0.7, linestyle=":")
    return figure
