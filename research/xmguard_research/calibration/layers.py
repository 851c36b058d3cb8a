"""Which layers and heads tell whose answer is followed: a factor from 0 to 1 for each, or none where nothing shows it.

Two signals are tried by head: log(||u_1|| / ||u_2||) of the two sources, and what both add to the first answer over
the second on the direct path (`xmguard_research.metrics.directed`). A layer or head is worth its AUROC for *the first
source is followed*, as 2 AUROC - 1, less some standard errors of what chance gives (Mann and Whitney 1947), and at
least 0; the largest becomes 1. Which level and how many standard errors is chosen by folds over items, inside the
folds by which the result is judged: factors count only where the sum that they weigh predicts better than the plain
mean of the same signal on items that had no part in them. Knows neither models nor files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from xmguard.bias import HeadFactors
from xmguard_research.metrics import Bootstrap, Estimate, auroc
from xmguard_research.verdict.splits import FOLDS, fitting_fold

RATIOS, TOWARD = "norms", "directed"
SIGNALS = (RATIOS, TOWARD)
"""The signed log-ratio of the norms, and the directed contribution."""
LEVELS = ("layer", "head")
ERRORS = (1.0, 2.0, 3.0)
"""Standard errors that are taken off."""
LEAST = 10
"""Cases that follow the first source, and the second, without which nothing is fitted."""

Array = NDArray[np.float64]
Recipe = tuple[str, float]
"""A level, and standard errors."""


@dataclass(frozen=True)
class Read:
    """A conflict of which one source's answer was given."""

    item: str
    first: bool
    """Whether it was the first source's."""
    signals: dict[str, Array]
    """By `SIGNALS`, [layer, head]; positive speaks for the first source."""


@dataclass(frozen=True)
class Prediction:
    """AUROC for *the first source is followed*."""

    signal: str
    plain: Estimate
    """Of the mean over layers and heads."""
    weighed: Estimate
    """Of the mean under the factors."""
    difference: Estimate


@dataclass(frozen=True)
class Fitted:
    """What came of it."""

    heads: HeadFactors | None
    """None leaves all alike."""
    signal: str
    """What `heads` was fitted to; empty without."""
    predictions: tuple[Prediction, ...]
    """By signal, each case by factors that have seen nothing of its fold."""
    note: str


def fit(rows: Sequence[Read], least: int = LEAST) -> Fitted:
    """Factors, if any are shown to be worth something."""
    counts = Counter(row.first for row in rows)
    told = f"{counts[True]} conflicts follow the first source and {counts[False]} the second"
    if min(counts[True], counts[False]) < least or not _fills_folds(rows):
        enough = f"{least} of each, of {FOLDS} folds of items, are needed"
        return Fitted(None, "", (), f"layers and heads: left alone; {told}, {enough} to tell them apart")
    found = tuple(_cross_validated(rows, signal) for signal in SIGNALS)
    better = [one for one in found if one.difference.excludes_zero and (one.difference.value or 0.0) > 0]
    if not better:
        return Fitted(None, "", found, f"layers and heads: left alone; no weights predict better than none ({told})")
    best = max(better, key=lambda one: one.weighed.value or 0.0)
    factors = _factors(rows, best.signal, _recipe(rows, best.signal))
    heads = tuple(tuple(round(float(value), 3) for value in layer) for layer in factors)
    used = sum(value > 0 for layer in heads for value in layer)
    found_in = f"{used} of {factors.size} heads tell whose answer is followed, by their {best.signal}"
    note = f"layers and heads: {found_in} ({told})"
    return Fitted(heads, best.signal, found, note)


def judged(rows: Sequence[Read], heads: HeadFactors, signal: str) -> Prediction | None:
    """How well factors predict rows that had no part in them; None without both kinds."""
    if len({row.first for row in rows}) < 2:
        return None
    return _compared(rows, signal, _weighed(rows, signal, np.array(heads)))


def _cross_validated(rows: Sequence[Read], signal: str) -> Prediction:
    scores = np.zeros(len(rows))
    for inside, outside in _folds(rows):
        kept = [rows[index] for index in inside]
        factors = _factors(kept, signal, _recipe(kept, signal))
        scores[outside] = _weighed([rows[index] for index in outside], signal, factors)
    return _compared(rows, signal, scores)


def _compared(rows: Sequence[Read], signal: str, weighed: Array) -> Prediction:
    plain = np.array([row.signals[signal].mean() for row in rows])
    bootstrap, truth = Bootstrap([row.item for row in rows]), [row.first for row in rows]
    return Prediction(
        signal,
        bootstrap.estimate(auroc, truth, plain.tolist()),
        bootstrap.estimate(auroc, truth, weighed.tolist()),
        bootstrap.difference(auroc, truth, weighed.tolist(), plain.tolist()),
    )


def _recipe(rows: Sequence[Read], signal: str) -> Recipe:
    """The one that predicts best out of fold; the first in doubt."""
    truth = np.array([[row.first] for row in rows])[:, 0]

    def worth(recipe: Recipe) -> float:
        scores = np.zeros(len(rows))
        for inside, outside in _folds(rows):
            factors = _factors([rows[index] for index in inside], signal, recipe)
            scores[outside] = _weighed([rows[index] for index in outside], signal, factors)
        return float(_favour(scores[:, None], truth)[0])

    return max(product(LEVELS, ERRORS), key=worth)


def _factors(rows: Sequence[Read], signal: str, recipe: Recipe) -> Array:
    """Factors [layer, head]; all alike where nothing is left."""
    level, errors = recipe
    values = np.stack([row.signals[signal] for row in rows])
    truth = np.array([row.first for row in rows])
    if level == "layer":
        values = np.broadcast_to(values.mean(axis=2, keepdims=True), values.shape)
    first, second = int(truth.sum()), int((~truth).sum())
    chance = np.sqrt((first + second + 1) / (3 * first * second)) if first and second else np.inf
    worth = _favour(values.reshape(len(rows), -1), truth).reshape(values.shape[1:]) - errors * chance
    left = np.maximum(worth, 0.0)
    return left / left.max() if left.max() > 0 else np.ones_like(left)


def _weighed(rows: Sequence[Read], signal: str, factors: Array) -> Array:
    return np.array([np.average(row.signals[signal], weights=factors) for row in rows])


def _favour(values: Array, truth: NDArray[np.bool_]) -> Array:
    """2 AUROC - 1 of every column for the rows that are true; 0 where one kind is missing."""
    first, second = int(truth.sum()), int((~truth).sum())
    if not first or not second:
        return np.zeros(values.shape[1])
    ranks = rankdata(values, axis=0)[truth].sum(axis=0) - first * (first + 1) / 2
    return np.asarray(2 * ranks / (first * second) - 1)


def _folds(rows: Sequence[Read]) -> list[tuple[list[int], list[int]]]:
    """Indices that are left, and left out, fold by fold."""
    folds = [fitting_fold(row.item) for row in rows]
    return [
        (
            [index for index, fold in enumerate(folds) if fold != held],
            [i for i, fold in enumerate(folds) if fold == held],
        )
        for held in sorted(set(folds))
    ]


def _fills_folds(rows: Sequence[Read]) -> bool:
    return len({fitting_fold(row.item) for row in rows}) == FOLDS
