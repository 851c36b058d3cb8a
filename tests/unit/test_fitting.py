"""Fitting a verdict on planted data, and choosing its bounds."""

import math

import numpy as np
import pytest

from xmguard.calibration import along, sigmoid
from xmguard.evidence import Bounds
from xmguard_research.calibration import fitting
from xmguard_research.calibration.bounds import FALSE_ALARMS, LEFT_OUT, WRONG, choose
from xmguard_research.calibration.fitting import Observation, cross_validated, fit, recalibrated
from xmguard_research.verdict.splits import fold

DIRECTIONS = {"x": 1, "y": -1}


def planted(count=1500, seed=0, noise=None, missing=0.0, **weights):
    """Observations of a logistic model of standard normal features; half as many items as observations."""
    draw = np.random.default_rng(seed)
    found = []
    for index in range(count):
        values = {name: float(draw.normal()) for name in weights}
        odds = 0.5 + math.fsum(weights[name] * value for name, value in values.items())
        if noise:
            values[noise] = float(draw.normal())
        if draw.random() < missing:
            odds = 2.0  # what is missing tells something
            values = {}
        found.append(Observation(f"item {index // 2}", values, bool(draw.random() < sigmoid(odds))))
    return found


def calibration_error(probabilities, observations, bins=10):
    """Expected calibration error over bins of equal size."""
    order = np.argsort(probabilities)
    p, true = np.array(probabilities)[order], np.array([o.positive for o in observations], float)[order]
    parts = np.array_split(np.arange(len(p)), bins)
    return sum(abs(p[part].mean() - true[part].mean()) * len(part) for part in parts) / len(p)


def test_a_planted_logistic_model_is_recovered():
    observations = planted(x=1.5, y=-0.8)
    found = fit(observations, DIRECTIONS)
    fresh = planted(seed=9, count=400, x=1.5, y=-0.8)
    wanted = [sigmoid(0.5 + 1.5 * o.values["x"] - 0.8 * o.values["y"]) for o in fresh]
    errors = [found.probability(o.values) - p for o, p in zip(fresh, wanted, strict=True)]
    assert np.sqrt(np.mean(np.square(errors))) < 0.06
    per_unit = {one.feature: one.weight / one.scale for one in found.weights}
    assert per_unit["x"] / per_unit["y"] == pytest.approx(1.5 / -0.8, rel=0.25)


def test_what_is_missing_has_a_weight_of_its_own():
    found = fit(planted(missing=0.3, x=1.5), {"x": 1})
    assert found.probability({}) == pytest.approx(sigmoid(2.0), abs=0.06)


@pytest.mark.parametrize(("directions", "kept"), [({"x": 1, "y": 1}, ["x"]), ({"x": 1, "y": 0}, ["x", "y"])])
def test_a_feature_against_its_direction_is_dropped_and_one_without_direction_is_not(directions, kept):
    found = fit(planted(x=1.5, y=-0.8), directions)
    assert [one.feature for one in found.weights] == kept
    assert all(one.weight * directions[one.feature] >= 0 for one in found.weights)


def test_a_lone_feature_against_its_direction_is_no_fit():
    with pytest.raises(ValueError, match="against its direction"):
        fit(planted(x=1.5), {"x": -1})


@pytest.mark.parametrize("constant", [True, False], ids=["one value", "one class"])
def test_there_is_nothing_to_fit_in_one_class_or_one_value(constant):
    same = [Observation(str(n), {"x": 1.0 if constant else n}, constant and bool(n % 2)) for n in range(50)]
    with pytest.raises(ValueError, match="nothing to fit"):
        fit(same, {"x": 1})


def test_a_class_in_one_fold_only_is_too_little():
    rows = [Observation("a", {"x": float(n)}, positive=True) for n in range(10)]
    others = [name for name in map(str, range(100)) if fold(name) != fold("a")]
    rows += [Observation(name, {"x": -float(n)}, positive=False) for n, name in enumerate(others)]
    with pytest.raises(ValueError, match="too few items"):
        fit(rows, {"x": 1})


def test_calibration_corrects_an_overconfident_score():
    # The score claims five times the log-odds there are; an outlier-prone weight is what a fit then starts from.
    truth = planted(x=0.8)
    over = [sigmoid(5 * (0.5 + 0.8 * o.values["x"])) for o in truth]
    assert calibration_error(over, truth) > 0.15
    held_out = cross_validated(truth, {"x": 1})
    assert calibration_error(held_out, truth) < 0.05


def test_log_odds_that_level_off_get_a_curve_and_it_rises():
    draw = np.random.default_rng(3)
    rows = []
    for n in range(3000):
        x = float(draw.normal() * 3)
        rows.append(Observation(f"i{n}", {"x": x}, bool(draw.random() < (0.15 if x < 1 else 0.7))))
    found = fit(rows, {"x": 1})
    assert 2 <= len(found.curve) <= fitting.KNOTS
    xs, ys = zip(*found.curve, strict=True)
    assert list(xs) == sorted(set(xs))
    assert list(ys) == sorted(ys)
    assert found.probability({"x": -8.0}) == pytest.approx(0.15, abs=0.04)
    assert found.probability({"x": 8.0}) == pytest.approx(0.7, abs=0.05)


def test_no_item_is_predicted_by_a_fit_that_has_seen_it(monkeypatch):
    seen = []
    real = fitting.fit
    monkeypatch.setattr(fitting, "fit", lambda inside, directions: seen.append(inside) or real(inside, directions))
    observations = planted(count=400, x=1.5)
    found = cross_validated(observations, {"x": 1})
    items = [{one.item for one in inside} for inside in seen]
    assert len(items) == 5
    every = {one.item for one in observations}
    assert set().union(*(every - inside for inside in items)) == every
    for known, names in zip(seen, items, strict=True):
        fitted = real(known, {"x": 1})
        held_out = [index for index, one in enumerate(observations) if one.item not in names]
        assert [found[index] for index in held_out] == [
            pytest.approx(fitted.probability(observations[index].values)) for index in held_out
        ]


def test_folds_never_split_an_item():
    assert {fold(f"item {n}") for n in range(200)} == {0, 1, 2, 3, 4}
    assert all(fold(f"item {n}") == fold(f"item {n}") for n in range(20))


def with_curve(known):
    curve = tuple((x / 2, 0.02 + 0.96 * sigmoid(x / 2)) for x in range(-20, 21))
    return type(known)(known.intercept, known.weights, curve)


@pytest.mark.parametrize("curved", [False, True])
def test_recalibrating_on_what_is_calibrated_already_changes_little(curved):
    known = fitting.Fit(0.5, (fitting.FeatureWeight("x", 1.5, 0.0, 1.0),))
    known = with_curve(known) if curved else known
    draw = np.random.default_rng(1)
    rows = [Observation(str(n), {"x": float(draw.normal())}, False) for n in range(4000)]
    rows = [Observation(o.item, o.values, bool(draw.random() < known.probability(o.values))) for o in rows]
    again = recalibrated(known, rows)
    assert bool(again.curve) is curved
    for x in (-2.0, -1.0, 0.0, 1.0, 2.0):
        assert again.probability({"x": x}) == pytest.approx(known.probability({"x": x}), abs=0.04)


@pytest.mark.parametrize("curved", [False, True])
def test_recalibrating_corrects_a_score_that_is_too_sure(curved):
    known = fitting.Fit(1.0, (fitting.FeatureWeight("x", 4.0, 0.0, 1.0, absent=2.0),))
    known = with_curve(known) if curved else known
    rows = planted(seed=5, x=1.5)
    again = recalibrated(known, rows)
    assert calibration_error([known.probability(o.values) for o in rows], rows) > 0.07
    assert calibration_error([again.probability(o.values) for o in rows], rows) < 0.05
    if not curved:
        ratio = again.weights[0].weight / 4.0
        assert 0.2 < ratio < 0.6
        assert again.weights[0].absent == pytest.approx(2.0 * ratio)
    else:
        heights = [along(again.curve, x) for x in np.linspace(-6, 6, 30)]
        assert heights == sorted(heights)


# -- bounds ----------------------------------------------------------------------------------------------------------


def shares(bounds, conflict, comparable):
    p, is_one = np.array([c[0] for c in conflict]), np.array([c[1] for c in conflict])
    both = np.array([p for p, do in comparable if do])
    return (
        float((p[~is_one] > bounds.conflict_above).mean()),
        float(is_one[p < bounds.agreement_below].mean()) if (p < bounds.agreement_below).any() else 0.0,
        float((both < bounds.comparable_above).mean()),
    )


@pytest.mark.parametrize("digits", [9, 2, 1], ids=["no ties", "some ties", "ten values only"])
@pytest.mark.parametrize("count", [15, 200, 3000])
def test_the_three_shares_hold_on_the_pairs_given(digits, count):
    draw = np.random.default_rng(count)
    conflict = [
        (round(float(draw.beta(4, 2) if n % 2 else draw.beta(2, 4)), digits), bool(n % 2)) for n in range(count)
    ]
    comparable = [(round(float(draw.beta(5, 2)), digits), bool(n % 3)) for n in range(count)]
    bounds = choose(conflict, comparable)
    alarms, wrong, left_out = shares(bounds, conflict, comparable)
    assert alarms <= FALSE_ALARMS
    assert left_out <= LEFT_OUT
    assert bounds.agreement_below <= bounds.conflict_above
    assert wrong <= WRONG
    if digits == 9 and count == 3000:
        assert (alarms, wrong) == pytest.approx((FALSE_ALARMS, WRONG), abs=0.002)
        assert left_out == 0.018, "36 of the 40 that may be: no other pair comes in below"


def test_agreement_that_is_never_established_is_never_said():
    assert choose([(0.2, True), (0.3, True), (0.4, False), (0.6, True)], []).agreement_below == 0.0


def test_many_pairs_at_the_bottom_of_a_curve_are_still_decided():
    conflict = [(0.005, False)] * 90 + [(0.5, False)] * 4 + [(0.9, True)] * 30 + [(0.8, False)] * 6
    bounds = choose(conflict, [])
    assert bounds.conflict_above == pytest.approx(0.85), "halfway to the conflicts"
    assert bounds.agreement_below > 0.5


def test_what_cannot_be_chosen_is_as_usual():
    usual = Bounds(0.8, 0.2, 0.6)
    assert choose([], [], usual) == usual
    assert choose([], []) == Bounds()
    assert choose([], [(0.9, True)], usual) == usual
    one_sided = choose([(0.3, False), (0.9, True)], [(0.7, True), (0.1, False)], usual)
    assert one_sided.conflict_above == pytest.approx(0.6)
    assert one_sided.comparable_above == pytest.approx(0.4)
