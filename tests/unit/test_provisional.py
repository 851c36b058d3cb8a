from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmguard.contracts import VerdictEstimator
from xmguard.evidence import Bounds, Evidence, SpanEvidence
from xmguard.languages.english import English
from xmguard.verdict import xmguard_verdict_estimators
from xmguard.verdict.equality import Agreement
from xmguard.verdict.likelihood import (
    FLOOR,
    PairLikelihood,
    likelihood_drop,
    mean_logprob,
    pair_likelihood,
    retained_gain,
)
from xmguard.verdict.provisional import ProvisionalEstimator, conflict_probability


def span(
    name: str,
    answer: str,
    under: Mapping[str, float] | None = None,
    own: float = -0.5,
    prior: float = -4.0,
) -> SpanEvidence:
    return SpanEvidence(
        name,
        "en",
        answer,
        English().normalize(answer),
        0.5,
        (own,) * 3,
        {other: (value,) * 3 for other, value in (under or {}).items()},
        (prior,) * 3,
    )


def estimate(*spans: SpanEvidence) -> dict[tuple[str, str], float]:
    found = ProvisionalEstimator().estimate(Evidence("How much?", spans))
    assert not found.calibrated
    assert not found.undetermined
    return {(pair.span_a, pair.span_b): pair.probability for pair in found.pairs}


def test_the_hook_offers_it() -> None:
    (estimator, _) = xmguard_verdict_estimators()
    assert isinstance(estimator, VerdictEstimator)
    assert estimator.name == "provisional"


def test_different_numbers_are_a_conflict_and_equal_ones_are_not() -> None:
    pairs = estimate(
        span("s1", "25%", {"s2": -5.0, "s3": -0.6}),
        span("s2", "15%", {"s1": -5.0, "s3": -5.0}),
        span("s3", "25 percent", {"s1": -0.6, "s2": -5.0}),
    )
    assert pairs["s1", "s2"] > 0.9
    assert pairs["s2", "s3"] > 0.9
    assert pairs["s1", "s3"] < 0.05


def test_unreadable_answers_are_judged_by_likelihood() -> None:
    together = estimate(span("s1", "a car", {"s2": -0.6}), span("s2", "an automobile", {"s1": -0.6}))
    apart = estimate(span("s1", "a car", {"s2": -5.0}), span("s2", "a boat", {"s1": -5.0}))
    assert together["s1", "s2"] < Bounds().agreement_below
    assert apart["s1", "s2"] > 0.8


def test_readable_answers_need_no_likelihood() -> None:
    assert estimate(span("s1", "25%"), span("s2", "15%"))["s1", "s2"] > 0.5
    assert estimate(span("s1", "25%"), span("s2", "25%"))["s1", "s2"] < 0.05


def test_a_pair_that_was_not_scored_takes_the_estimate_of_its_groups() -> None:
    pairs = estimate(
        span("s1", "a car", {"s3": -5.0}),
        span("s2", "car"),
        span("s3", "a boat", {"s1": -5.0}),
    )
    assert pairs["s2", "s3"] == pairs["s1", "s3"] > 0.8


def test_a_pair_that_cannot_be_compared_is_left_out() -> None:
    pairs = estimate(span("s1", "a car", {"s2": -0.6}), span("s2", "an automobile"), span("s3", "a boat"))
    assert set(pairs) == {("s1", "s2")}


def test_silent_spans_are_in_no_pair() -> None:
    assert set(estimate(span("s1", "25%"), span("s2", "not stated"), span("s3", "15%"))) == {("s1", "s3")}


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([], "no source answers the question"),
        (["unknown", ""], "no source answers the question"),
        (["25%", "unknown"], "only s1 answers the question"),
        (["a car", "a boat"], "the answers of s1 and s2 could not be compared"),
    ],
)
def test_undetermined_says_why(answers: list[str], reason: str) -> None:
    spans = tuple(span(f"s{index}", answer) for index, answer in enumerate(answers, start=1))
    found = ProvisionalEstimator().estimate(Evidence("How much?", spans))
    assert (found.pairs, found.undetermined) == ((), reason)


def test_entropies_make_no_difference_yet() -> None:
    one, two = span("s1", "a car", {"s2": -2.0}), span("s2", "a boat", {"s1": -2.0})
    assert estimate(one, two) == estimate(replace(one, entropy=None), replace(two, entropy=9.0))


def test_64_spans_are_compared_pair_by_pair() -> None:
    assert len(estimate(*(span(f"s{index}", f"{index % 3}%") for index in range(64)))) == 64 * 63 // 2


agreements = st.sampled_from(Agreement)
nats = st.floats(-20, 40)
shares = st.one_of(st.none(), st.floats(-5, 5))


@given(agreements, nats, nats, shares)
def test_probability_rises_with_the_drop(agreement: Agreement, x: float, y: float, share: float | None) -> None:
    low, high = sorted((x, y))
    first = conflict_probability(agreement, PairLikelihood(low, share))
    second = conflict_probability(agreement, PairLikelihood(high, share))
    assert first is not None
    assert second is not None
    assert 0 < first <= second < 1


@given(agreements, nats, st.floats(-5, 5), st.floats(-5, 5))
def test_probability_falls_with_the_retained_gain(agreement: Agreement, drop: float, x: float, y: float) -> None:
    low, high = sorted((x, y))
    first = conflict_probability(agreement, PairLikelihood(drop, low))
    second = conflict_probability(agreement, PairLikelihood(drop, high))
    assert first is not None
    assert second is not None
    assert first >= second


@given(nats, shares)
def test_probability_is_ordered_by_agreement(drop: float, share: float | None) -> None:
    likelihood = PairLikelihood(drop, share)
    same = conflict_probability(Agreement.SAME, likelihood)
    unknown = conflict_probability(Agreement.UNKNOWN, likelihood)
    different = conflict_probability(Agreement.DIFFERENT, likelihood)
    assert same is not None
    assert unknown is not None
    assert different is not None
    assert same < unknown < different
    assert same < Bounds().agreement_below
    assert different > 0.5


def test_nothing_known_is_no_probability() -> None:
    assert conflict_probability(Agreement.UNKNOWN, None) is None


def test_mean_logprob() -> None:
    assert mean_logprob(()) is None
    assert mean_logprob((-1.0, -3.0)) == -2.0
    assert mean_logprob((-math.inf, 0.0)) == FLOOR / 2
    for bad in (math.nan, 0.5, math.inf):
        with pytest.raises(ValueError, match="not a log-probability"):
            mean_logprob((-1.0, bad))


def test_likelihood_features() -> None:
    assert likelihood_drop((-1.0,), (-3.0,)) == 2.0
    assert likelihood_drop((-1.0,), ()) is None
    assert retained_gain((-1.0,), (-3.0,), (-5.0,)) == 0.5
    assert retained_gain((-1.0,), (-6.0,), (-5.0,)) == -0.25
    assert retained_gain((-1.0,), (-3.0,), ()) is None
    assert retained_gain((-1.0,), (-3.0,), (-1.01,)) is None


def test_pair_likelihood_uses_the_directions_there_are() -> None:
    a, b = span("s1", "car", {"s2": -4.0}), span("s2", "boat", {"s1": -2.5})
    both, one = pair_likelihood(a, b), pair_likelihood(a, span("s2", "boat"))
    assert both == pair_likelihood(b, a)
    assert both is not None
    assert both.drop == pytest.approx((3.5 + 2.0) / 2)
    assert one == PairLikelihood(3.5, 0.0)
    assert pair_likelihood(span("s1", "car"), span("s2", "boat")) is None
    assert pair_likelihood(span("s1", "car", {"s2": -4.0}, prior=-0.5), span("s2", "boat")) == PairLikelihood(3.5, None)
