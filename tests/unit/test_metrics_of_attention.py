"""Metrics of contributions, attention and uncertainty, on numbers worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmguard.context import SpanMap, SpanTokens
from xmguard.measurement import Measurement
from xmguard_research.metrics import (
    Bootstrap,
    Depths,
    attention_imbalance,
    balance_point,
    by_depth,
    contribution,
    contribution_ratio,
    directed_preference,
    follow_curve,
    modality_dominance,
    relative_uncertainty,
)

SOME = settings(max_examples=50, deadline=None)
positive = st.floats(1e-6, 1e6)


# -- contribution and imbalance --------------------------------------------------------------------------------------


def test_contribution_is_a_mean_over_rows_layers_and_heads():
    norms = [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]
    assert contribution(norms) == 4.5
    assert contribution(norms, weights=[[1, 0], [0, 3]]) == pytest.approx((1 + 5 + 3 * (4 + 8)) / 8)
    assert contribution(norms, weights=[[2, 2], [2, 2]]) == contribution(norms)


def test_contribution_refuses_what_is_no_norm():
    assert contribution(np.empty((0, 2, 2))) is None
    assert contribution([[1.0]], weights=[[0.0]]) is None
    with pytest.raises(ValueError, match="norms must be finite and at least 0, one is -1"):
        contribution([[-1.0]])
    with pytest.raises(ValueError, match="norms must be finite"):
        contribution([[math.nan]])
    with pytest.raises(ValueError, match=r"weights \(1, 2\) are not of the layers and heads \(1, 1\)"):
        contribution([[1.0]], weights=[[1.0, 1.0]])
    with pytest.raises(ValueError, match="no axes for layer and head"):
        contribution([1.0])


def test_a_ratio_to_nothing_is_undefined():
    assert contribution_ratio(0.0, 2.0) == 0.0
    assert contribution_ratio(2.0, 0.0) is None


def test_imbalance_by_hand():
    found = attention_imbalance([2.0, 6.0], [4, 6], [1.0], [8])
    assert found.gap == 3.0
    assert found.log_ratio == pytest.approx(math.log(4))
    assert found.gap_per_token == pytest.approx((0.5 + 1.0) / 2 - 1 / 8)
    assert found.log_ratio_per_token == pytest.approx(math.log(6))


def test_imbalance_of_a_silent_or_missing_group():
    silent = attention_imbalance([1.0], [1], [0.0], [1])
    assert (silent.gap, silent.log_ratio) == (1.0, None)
    assert attention_imbalance([0.0], [1], [1.0], [1]).log_ratio is None
    assert attention_imbalance([], [], [1.0], [1]).gap is None
    with pytest.raises(ValueError, match="0 tokens"):
        attention_imbalance([1.0], [0], [1.0], [1])
    with pytest.raises(ValueError, match=r"norms_a \(1\), tokens_a \(2\)"):
        attention_imbalance([1.0], [1, 2], [1.0], [1])


@SOME
@given(positive, st.integers(1, 1000), positive, st.integers(1, 1000))
def test_imbalance_changes_its_sign_when_the_groups_change_places(a, tokens_a, b, tokens_b):
    one = attention_imbalance([a], [tokens_a], [b], [tokens_b])
    other = attention_imbalance([b], [tokens_b], [a], [tokens_a])
    assert one.gap == -other.gap
    assert one.log_ratio == pytest.approx(-other.log_ratio, abs=1e-9)
    assert one.log_ratio_per_token == pytest.approx(-other.log_ratio_per_token, abs=1e-9)


def test_imbalance_of_two_spans_has_the_size_of_the_contracts_log_ratio():
    spans = SpanMap((SpanTokens("a", 0, 4), SpanTokens("b", 4, 14)), 14)
    measured = Measurement(spans, norms=(((0.5, 2.0, 6.0), (0.5, 4.0, 9.0)),), masses=(((0.2, 0.3, 0.5),) * 2,), rows=1)
    a, b = (contribution([[head[place] for head in layer] for layer in measured.norms]) for place in (1, 2))
    assert (a, b) == (measured.contributions["a"], measured.contributions["b"])
    found = attention_imbalance([a], [4], [b], [10])
    assert found.log_ratio == pytest.approx(-measured.log_ratio)
    assert found.log_ratio_per_token == pytest.approx(measured.log_ratio_per_token)


def test_a_span_pushes_toward_the_answer_whose_logit_it_raises_more():
    assert directed_preference([1.0, -2.0], [3.0, -2.5]) == [-2.0, 0.5]
    with pytest.raises(ValueError, match=r"toward_a \(1\), toward_b \(2\)"):
        directed_preference([1.0], [1.0, 2.0])


# -- dominance -------------------------------------------------------------------------------------------------------


def test_dominance_by_hand():
    found = modality_dominance(0.6, 0.2, 30, 90)
    assert found.mdi == pytest.approx((0.6 / 30) / (0.2 / 90))
    assert found.text_share == pytest.approx(0.75)
    assert found.aei_text == pytest.approx(0.75 / 0.25)
    assert found.aei_other == pytest.approx(0.25 / 0.75)
    assert (found.text_tokens, found.other_tokens) == (30, 90)


def test_attention_by_number_of_tokens_is_no_dominance():
    found = modality_dominance(0.1, 0.4, 10, 40)
    assert (found.mdi, found.aei_text, found.aei_other) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))


@SOME
@given(positive, positive, st.integers(1, 5000), st.integers(1, 5000))
def test_dominance_is_the_ratio_of_the_efficiencies(text, other, text_tokens, other_tokens):
    found = modality_dominance(text, other, text_tokens, other_tokens)
    assert found.mdi == pytest.approx(found.aei_text / found.aei_other)
    mirrored = modality_dominance(other, text, other_tokens, text_tokens)
    assert found.mdi == pytest.approx(1 / mirrored.mdi)


def test_dominance_over_nothing_is_undefined():
    assert modality_dominance(0.5, 0.0, 1, 1).mdi is None
    assert modality_dominance(0.0, 0.0, 1, 1).aei_text is None
    assert modality_dominance(0.0, 0.5, 1, 1).mdi == 0.0
    with pytest.raises(ValueError, match="0 of text, 9 of the other"):
        modality_dominance(0.5, 0.5, 0, 9)
    with pytest.raises(ValueError, match=r"other must be finite and at least 0, one is -0\.5"):
        modality_dominance(0.5, -0.5, 1, 1)


def test_depths_are_thirds_of_the_layers():
    assert by_depth([1, 2, 3, 4, 5, 6]) == Depths(1.5, 3.5, 5.5, 3.5)
    with pytest.raises(ValueError, match="2 layers have no thirds"):
        by_depth([1, 2])


# -- uncertainty -----------------------------------------------------------------------------------------------------


def test_relative_uncertainty_by_hand():
    assert relative_uncertainty(1.5, 0.5) == 1.0
    assert relative_uncertainty(0.5, 1.5) == -1.0
    assert relative_uncertainty(0.0, 0.0) is None
    with pytest.raises(ValueError, match="text_entropy must be finite"):
        relative_uncertainty(-1.0, 1.0)


def drawn(intercept, slope, rows, seed=0):
    generator = np.random.default_rng(seed)
    uncertainty = generator.uniform(-2, 2, rows)
    followed = generator.random(rows) < 1 / (1 + np.exp(-(intercept + slope * uncertainty)))
    return followed.tolist(), uncertainty.tolist()


def test_the_curve_is_found_again_that_the_data_were_drawn_from():
    curve = follow_curve(*drawn(0.9, -3.0, 20_000))
    assert curve.slope == pytest.approx(-3.0, abs=0.15)
    assert curve.balance_point == pytest.approx(0.3, abs=0.03)
    assert curve.probability(curve.balance_point) == pytest.approx(0.5)
    assert curve.probability(-2.0) > 0.99 > 0.01 > curve.probability(2.0)


def test_the_curve_is_the_one_of_maximum_likelihood():
    followed, uncertainty = drawn(0.2, -1.0, 300)
    curve = follow_curve(followed, uncertainty)
    x, gap = np.array(uncertainty), np.array(followed) - np.array([curve.probability(one) for one in uncertainty])
    assert (gap.sum(), (gap * x).sum()) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))


def test_a_curve_that_does_not_fall_has_no_balance_point():
    followed, uncertainty = drawn(0.0, 2.0, 500)
    assert follow_curve(followed, uncertainty).balance_point is None


def test_no_curve_is_fitted_where_there_is_no_maximum():
    assert follow_curve([], []) is None
    assert follow_curve([True, True], [-1.0, 1.0]) is None
    assert follow_curve([True, True, False, False], [-1.0, -0.5, 0.5, 1.0]) is None
    assert follow_curve([True, False, False], [0.5, 0.5, 0.5]) is None
    with pytest.raises(ValueError, match="not finite"):
        follow_curve([True, False], [math.nan, 1.0])


def test_the_interval_of_the_balance_point_holds_it_and_counts_draws_without_one():
    followed, uncertainty = drawn(0.9, -3.0, 400)
    bootstrap = Bootstrap([str(row // 2) for row in range(400)], resamples=40)
    estimate = bootstrap.estimate(balance_point, followed, uncertainty)
    assert estimate.low < 0.3 < estimate.high
    assert estimate.value == pytest.approx(follow_curve(followed, uncertainty).balance_point)
    few = Bootstrap(["a", "b", "c", "d"], resamples=40)
    assert few.estimate(balance_point, [True, False, True, False], [-1.0, -0.2, 0.2, 1.0]).undefined > 10


def test_a_draw_of_the_balance_point_is_its_rows_written_out():
    followed, uncertainty = (np.array(column, dtype=float) for column in drawn(0.0, -1.0, 80))
    times = np.random.default_rng(1).integers(0, 4, size=80)
    weighted = balance_point(followed, uncertainty, times[None].astype(float))
    written = balance_point(np.repeat(followed, times), np.repeat(uncertainty, times), np.ones((1, times.sum())))
    assert weighted == pytest.approx(written)
