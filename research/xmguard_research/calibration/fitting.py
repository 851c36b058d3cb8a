"""Fits a logistic model over features, keeps it monotone, and calibrates it on predictions it was not fitted to.

scikit-learn does the fitting. A feature whose weight comes out against the direction it can only speak in is dropped
and the rest fitted again, the heaviest first: a weight of the wrong sign is noise, and would make a verdict that nobody
can explain. Knows neither models nor texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from xmguard.calibration import FeatureWeight, Fit, along, sigmoid
from xmguard_research.calibration.profiles import DIGITS
from xmguard_research.verdict.splits import FOLDS, fold

STRENGTHS = (0.01, 0.1, 1.0)
"""Inverse strengths of the L2 penalty that are tried."""
RARE = 0.02
"""Share of pairs from which on a missing value is told apart from an average one."""
KNOTS = 12
"""Points of an isotonic curve at most: it is stored, and more would follow single pairs."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Observation:
    """One pair's features, and whether what is to be predicted is true of it."""

    item: str
    """Pairs of one item stay together in folds."""
    values: Mapping[str, float]
    positive: bool


def fit(observations: Sequence[Observation], directions: Mapping[str, int]) -> Fit:
    """Weights, then a curve on out-of-fold log-odds if it brings the Brier score down on folds it has not seen.

    `directions` has every feature to use: 1, -1 or 0 (`EvidenceFeature.conflict`).

    Raises:
        ValueError: one class only, no feature that has values, or none that speaks in its direction.
    """
    used, strength = _choose(observations, directions)
    whole = _logistic(observations, used, strength)
    held_out = _out_of_fold(observations, used, strength)
    return _calibrated(whole, held_out, observations)


def cross_validated(observations: Sequence[Observation], directions: Mapping[str, int]) -> list[float]:
    """The probability of every observation by a fit that has seen nothing of its fold, curve and features included."""
    found = [0.0] * len(observations)
    for held in range(FOLDS):
        inside = [one for one in observations if fold(one.item) != held]
        outside = [index for index, one in enumerate(observations) if fold(one.item) == held]
        if outside:
            fitted = fit(inside, directions)
            for index in outside:
                found[index] = fitted.probability(observations[index].values)
    return found


def recalibrated(known: Fit, observations: Sequence[Observation]) -> Fit:
    """The same weights with log-odds stretched and shifted to new observations (Platt 1999); for small sets."""
    odds = np.array([_present(known, one.values) for one in observations])
    slope, shift = _platt(odds, _labels(observations))
    weights = tuple(replace(w, weight=w.weight * slope, absent=w.absent * slope) for w in known.weights)
    if not known.curve:
        return Fit(known.intercept * slope + shift, weights)
    # A curve maps the old log-odds; the new ones are a line of the logit of its heights.
    clipped = [(x, min(max(y, 1e-4), 1 - 1e-4)) for x, y in known.curve]
    curve = tuple((x, sigmoid(slope * float(np.log(y / (1 - y))) + shift)) for x, y in clipped)
    return Fit(known.intercept, known.weights, curve)


def _present(known: Fit, values: Mapping[str, float]) -> float:
    probability = min(max(known.probability(values), 1e-4), 1 - 1e-4)
    return float(np.log(probability / (1 - probability)))


def _choose(observations: Sequence[Observation], directions: Mapping[str, int]) -> tuple[dict[str, int], float]:
    """The features that stay, and the penalty with the least log-loss out of fold."""
    usable = {
        name: sign
        for name, sign in directions.items()
        if len({o.values[name] for o in observations if name in o.values}) > 1
    }
    if not usable or len({one.positive for one in observations}) < 2:
        raise ValueError("nothing to fit: one class only, or no feature with values that differ")
    labels = _labels(observations)
    best: tuple[float, dict[str, int], float] | None = None
    for strength in STRENGTHS:
        used = _monotone(observations, usable, strength)
        if not used:
            continue
        odds = _out_of_fold(observations, used, strength)
        loss = log_loss(labels, [sigmoid(value) for value in odds], labels=[0, 1])
        if best is None or loss < best[0]:
            best = (loss, used, strength)
    if best is None:
        raise ValueError("nothing to fit: every feature speaks against its direction")
    return best[1], best[2]


def _monotone(observations: Sequence[Observation], directions: Mapping[str, int], strength: float) -> dict[str, int]:
    used = dict(directions)
    while used:
        fitted = _logistic(observations, used, strength)
        wrong = {one.feature: one.weight for one in fitted.weights if one.weight * used[one.feature] < 0}
        if not wrong:
            break
        del used[max(wrong, key=lambda name: abs(wrong[name]))]
    return used


def _logistic(observations: Sequence[Observation], used: Mapping[str, int], strength: float) -> Fit:
    columns: list[Array] = []
    stored: list[tuple[str, float, float, bool]] = []
    for name in used:
        raw = np.array([one.values.get(name, np.nan) for one in observations])
        there = np.isfinite(raw)
        center, scale = (float(raw[there].mean()), float(raw[there].std()) or 1.0) if there.any() else (0.0, 1.0)
        columns.append(np.where(there, (raw - center) / scale, 0.0))
        missing = bool(RARE < 1 - there.mean() < 1 - RARE)
        if missing:
            columns.append((~there).astype(float))
        stored.append((name, center, scale, missing))
    model = LogisticRegression(C=strength, max_iter=2000).fit(np.column_stack(columns), _labels(observations))
    coefficients = iter(model.coef_[0])
    weights = []
    for name, center, scale, missing in stored:
        weight = float(next(coefficients))
        weights.append(FeatureWeight(name, weight, center, scale, float(next(coefficients)) if missing else 0.0))
    return Fit(float(model.intercept_[0]), tuple(weights))


def _out_of_fold(observations: Sequence[Observation], used: Mapping[str, int], strength: float) -> Array:
    odds = np.zeros(len(observations))
    for held in range(FOLDS):
        inside = [one for one in observations if fold(one.item) != held]
        outside = [index for index, one in enumerate(observations) if fold(one.item) == held]
        if outside:
            if len({one.positive for one in inside}) < 2:
                raise ValueError("too few items: without one fold of five there is one class only")
            fitted = _logistic(inside, used, strength)
            odds[outside] = [fitted.log_odds(observations[index].values) for index in outside]
    return odds


def _calibrated(whole: Fit, odds: Array, observations: Sequence[Observation]) -> Fit:
    """The fit with Platt's line or an isotonic curve, whichever is better on folds it was not fitted to."""
    labels = _labels(observations)
    folds = np.array([fold(one.item) for one in observations])
    platt, isotonic = np.zeros(len(odds)), np.zeros(len(odds))
    for held in np.unique(folds):
        inside, outside = folds != held, folds == held
        slope, shift = _platt(odds[inside], labels[inside])
        platt[outside] = [sigmoid(slope * value + shift) for value in odds[outside]]
        curve = _isotonic(odds[inside], labels[inside])
        isotonic[outside] = [along(curve, value) for value in odds[outside]]
    if brier_score_loss(labels, isotonic) < brier_score_loss(labels, platt):
        return replace(whole, curve=_isotonic(odds, labels))
    slope, shift = _platt(odds, labels)
    weights = tuple(replace(one, weight=one.weight * slope, absent=one.absent * slope) for one in whole.weights)
    return Fit(whole.intercept * slope + shift, weights)


def _platt(odds: Array, labels: Array) -> tuple[float, float]:
    """Slope (above 0, so that the order stays) and shift of the log-odds."""
    model = LogisticRegression(C=1e3, max_iter=2000).fit(odds[:, None], labels)
    return max(float(model.coef_[0, 0]), 1e-3), float(model.intercept_[0])


def _isotonic(odds: Array, labels: Array) -> tuple[tuple[float, float], ...]:
    """A rising curve with few points: the means of equal parts of the log-odds, made monotone."""
    order = np.argsort(odds, kind="stable")
    parts = [part for part in np.array_split(order, min(KNOTS, max(2, len(order) // 30))) if len(part)]
    # As many digits as a profile keeps: points that it could not tell apart are one to the regression as well.
    x = np.array([float(f"{odds[part].mean():.{DIGITS}g}") for part in parts])
    y = IsotonicRegression(y_min=0.005, y_max=0.995).fit_transform(
        x, [labels[part].mean() for part in parts], sample_weight=[len(part) for part in parts]
    )
    points: list[tuple[float, float]] = []
    for one, height in zip(x.tolist(), y.tolist(), strict=True):
        if not points or one > points[-1][0]:
            points.append((one, height))
    return tuple(points)


def _labels(observations: Sequence[Observation]) -> Array:
    return np.array([float(one.positive) for one in observations])
