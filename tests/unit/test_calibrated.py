"""A fitted verdict from its numbers to a decision."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmguard.calibration import FeatureWeight, Fit, FittedFor, VerdictProfile, along, pairing, sigmoid
from xmguard.evidence import Bounds, Evidence, SpanEvidence
from xmguard.languages.english import English
from xmguard.response import Decision
from xmguard.verdict.calibrated import CalibratedEstimator
from xmguard.verdict.decision import decide

FIT = Fit(
    intercept=-1.0,
    weights=(FeatureWeight("x", 2.0, 3.0, 4.0, absent=-0.25), FeatureWeight("y", -0.5, 1.0, 0.5)),
)
CURVE = ((-2.0, 0.1), (0.0, 0.3), (1.0, 0.9))

# The log-odds of a conflict and of "both answer" are the values of these features.
PLAIN = {kind: Fit(0.0, (FeatureWeight(kind, 1.0, 0.0, 1.0),)) for kind in ("odds", "relevance")}
BOTH = ("same_language", "cross_language")


def profile(pairings=BOTH, comparable=BOTH) -> VerdictProfile:
    return VerdictProfile(
        FittedFor("h", "e", "d"),
        dict.fromkeys(pairings, PLAIN["odds"]),
        dict.fromkeys(comparable, PLAIN["relevance"]),
        Bounds(0.6, 0.4, 0.5),
        "a test",
    )


def evidence(answers: dict[str, str], odds=(), relevance=(), **languages: str) -> Evidence:
    """Spans by id; probabilities of a conflict and of both answering by pair, the latter 0.9 unless said."""
    spans = tuple(
        SpanEvidence(span, languages.get(span, "en"), said, English().normalize(said), 0.5, (), {}, ())
        for span, said in answers.items()
    )
    logit = lambda p: math.log(p / (1 - p))  # noqa: E731
    features = {
        "odds": {pair: logit(p) for pair, p in dict(odds).items()},
        "relevance": {pair: logit(dict(relevance).get(pair, 0.9)) for pair in dict(odds)},
    }
    return Evidence("How much?", spans, features)


def shown(found: Evidence, pictured: str) -> Evidence:
    """The evidence with the named spans as pictures."""
    spans = (replace(span, modality="image" if span.span_id in pictured else "text") for span in found.spans)
    return replace(found, spans=tuple(spans))


def judged(found: Evidence, fitted: VerdictProfile | None = None, threshold: float | None = None):
    return decide(found, CalibratedEstimator(fitted or profile()).estimate(found), threshold)


AB = ("a", "b")


def test_log_odds_are_weighed_deviations_and_what_is_missing_adds_its_own() -> None:
    assert FIT.log_odds({"x": 5.0, "y": 2.0}) == pytest.approx(-1 + 2 * 2 / 4 - 0.5 * 1 / 0.5)
    assert FIT.log_odds({"y": 2.0, "unknown": 9.0}) == pytest.approx(-1 - 0.25 - 1)
    assert FIT.log_odds({"x": 5.0}) == pytest.approx(0.0)
    assert FIT.probability({"x": 5.0}) == pytest.approx(0.5)
    assert FIT.probability({"x": 7.0}) == pytest.approx(1 / (1 + math.exp(-1)))


def test_a_curve_takes_the_place_of_the_sigmoid_and_is_flat_beyond_its_ends() -> None:
    curved = replace(FIT, curve=CURVE)
    assert curved.probability({"x": 5.0}) == pytest.approx(0.3)
    heights = {-9.0: 0.1, -2.0: 0.1, -1.0: 0.2, 0.0: 0.3, 0.5: 0.6, 1.0: 0.9, 9.0: 0.9}
    assert {x: round(along(CURVE, x), 12) for x in heights} == heights
    assert along(((0.5, 0.7),), -3.0) == along(((0.5, 0.7),), 3.0) == 0.7


def test_huge_odds_do_not_overflow() -> None:
    assert (sigmoid(1e6), sigmoid(-1e6), sigmoid(0.0)) == (1.0, 0.0, 0.5)
    assert sigmoid(-2.0) == pytest.approx(1 - sigmoid(2.0))
    huge = Fit(0.0, (FeatureWeight("x", 1e9, 0.0, 1e-9),))
    assert (huge.probability({"x": 1.0}), huge.probability({"x": -1.0})) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ("en", "en", "same_language"),
        ("en", "en-GB", "same_language"),
        ("zh-Hant", "ZH-cn", "same_language"),
        ("en", "es", "cross_language"),
        ("und", "und", "same_language"),
        ("und", "en", "same_language"),
    ],
)
def test_pairs_are_told_apart_by_their_primary_tags(a: str, b: str, kind: str) -> None:
    assert pairing(a, b) == pairing(b, a) == kind


def test_a_profile_asks_for_every_feature_once() -> None:
    assert CalibratedEstimator(profile()).features == ("odds", "relevance")


@pytest.mark.parametrize(
    ("probability", "decision"),
    [
        (0.61, Decision.CONFLICT),
        (0.59, Decision.UNDETERMINED),
        (0.41, Decision.UNDETERMINED),
        (0.39, Decision.CONSISTENT),
    ],
)
def test_the_profiles_bounds_decide(probability: float, decision: Decision) -> None:
    verdict = judged(evidence({"a": "red", "b": "blue"}, {AB: probability}))
    assert verdict.decision is decision
    assert verdict.probability == pytest.approx(probability)
    assert verdict.calibrated


def test_the_threshold_of_the_request_wins_over_the_profiles() -> None:
    said = {"a": "red", "b": "blue"}
    assert judged(evidence(said, {AB: 0.5}), threshold=0.45).decision is Decision.CONFLICT
    assert judged(evidence(said, {AB: 0.7}), threshold=0.8).decision is Decision.UNDETERMINED
    assert judged(evidence(said, {AB: 0.3}), threshold=0.25).decision is Decision.CONFLICT
    assert judged(evidence(said, {AB: 0.3}), threshold=0.3).decision is not Decision.CONSISTENT
    assert judged(evidence(said, {AB: 0.3}), threshold=0.9).decision is Decision.CONSISTENT


def test_a_span_that_does_not_answer_leaves_agreement_open_and_is_named() -> None:
    said = {"a": "red", "b": "ruby", "c": "Tuesday"}
    odds = {AB: 0.1, ("a", "c"): 0.9, ("b", "c"): 0.95}
    verdict = judged(evidence(said, odds, {("a", "c"): 0.3, ("b", "c"): 0.2}))
    assert (verdict.decision, verdict.probability) == (Decision.UNDETERMINED, pytest.approx(0.1))
    assert verdict.reason == (
        "c does not seem to answer the question (probability that both of a pair do 0.20; 0.50 is needed), "
        "so agreement is open."
    )


def test_of_two_spans_both_are_named() -> None:
    verdict = judged(evidence({"a": "red", "b": "Tuesday"}, {AB: 0.99}, {AB: 0.4}))
    assert (verdict.decision, verdict.probability) == (Decision.UNDETERMINED, None)
    assert verdict.reason.startswith(
        "a and b do not both seem to answer the question (probability that both of a pair do 0.40"
    )
    assert judged(evidence({"a": "red", "b": "Tuesday"}, {AB: 0.99}, {AB: 0.5})).decision is Decision.CONFLICT


def test_the_pair_that_is_named_is_the_one_whose_number_is_told() -> None:
    said = {"a": "red", "b": "blue", "c": "ruby"}
    odds = dict.fromkeys([AB, ("a", "c"), ("b", "c")], 0.1)
    verdict = judged(evidence(said, odds, {AB: 0.4, ("a", "c"): 0.3, ("b", "c"): 0.2}))
    assert verdict.reason.startswith(
        "b and c do not both seem to answer the question (probability that both of a pair do 0.20"
    )


def test_a_conflict_survives_a_third_span_that_is_off_the_question() -> None:
    said = {"a": "red", "b": "blue", "c": "Tuesday"}
    odds = {AB: 0.8, ("a", "c"): 0.99, ("b", "c"): 0.99}
    verdict = judged(evidence(said, odds, {("a", "c"): 0.1, ("b", "c"): 0.1}))
    assert (verdict.decision, verdict.probability) == (Decision.CONFLICT, pytest.approx(0.8))
    assert [(pair.span_a, pair.span_b) for pair in verdict.disagreements] == [AB]
    assert judged(evidence(said | {"c": "Not stated."}, {AB: 0.8})).decision is Decision.CONFLICT


def test_without_a_fit_of_relevance_every_pair_counts() -> None:
    found = evidence({"a": "red", "b": "blue"}, {AB: 0.8}, {AB: 0.01})
    assert judged(found, profile(comparable=())).decision is Decision.CONFLICT


def test_languages_that_were_not_fitted_never_agree_and_are_not_calibrated() -> None:
    found = evidence({"a": "red", "b": "red"}, {AB: 0.01}, b="es")
    assert judged(found).decision is Decision.CONSISTENT
    verdict = judged(found, profile(("same_language",)))
    assert (verdict.decision, verdict.calibrated) == (Decision.UNDETERMINED, False)
    assert "could not be compared" in verdict.reason
    three = evidence({"a": "red", "b": "red", "c": "red"}, {AB: 0.01, ("a", "c"): 0.01}, c="es")
    verdict = judged(three, profile(("same_language",)))
    assert (verdict.decision, verdict.calibrated) == (Decision.UNDETERMINED, False)
    assert "a and c could not be compared" in verdict.reason


def test_a_pair_that_was_not_fitted_inherits_no_agreement_from_its_group() -> None:
    # b and c are one language, which was not fitted; b says what a says, so only a was measured against c.
    found = evidence({"a": "25%", "b": "25 %", "c": "a quarter"}, {AB: 0.1, ("a", "c"): 0.1}, b="es", c="es")
    assert judged(found).decision is Decision.CONSISTENT
    verdict = judged(found, profile(("cross_language",)))
    assert (verdict.decision, verdict.calibrated) == (Decision.UNDETERMINED, False)
    assert "b and c could not be compared" in verdict.reason


def test_a_conflict_stands_beside_a_pair_that_was_not_fitted_but_is_not_calibrated() -> None:
    found = evidence({"a": "red", "b": "blue", "c": "rojo"}, {AB: 0.9, ("a", "c"): 0.1, ("b", "c"): 0.1}, c="es")
    verdict = judged(found, profile(("same_language",)))
    assert (verdict.decision, verdict.calibrated) == (Decision.CONFLICT, False)


def test_a_pair_without_any_value_is_not_compared() -> None:
    verdict = judged(evidence({"a": "red", "b": "blue"}))
    assert (verdict.decision, verdict.probability) == (Decision.UNDETERMINED, None)


def test_members_of_a_group_take_the_numbers_of_the_surest_pair_of_it() -> None:
    # a and b say the same; c was measured against a only, and a against b.
    found = evidence({"a": "25%", "b": "25 %", "c": "15%"}, {AB: 0.05, ("a", "c"): 0.9}, {("a", "c"): 0.7})
    estimate = CalibratedEstimator(profile()).estimate(found)
    inherited = {
        (pair.span_a, pair.span_b): (round(pair.probability, 6), round(pair.comparable, 6)) for pair in estimate.pairs
    }
    assert inherited == {AB: (0.05, 0.9), ("a", "c"): (0.9, 0.7), ("b", "c"): (0.9, 0.7)}
    assert estimate.calibrated


def test_silence_is_undetermined() -> None:
    assert "no source answers" in judged(evidence({"a": "unknown", "b": "Not stated."})).reason.lower()
    assert "only a answers" in judged(evidence({"a": "red", "b": "Not stated."})).reason.lower()


@settings(deadline=None)
@given(
    weight=st.floats(0.01, 10),
    curve=st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 1)), max_size=5, unique_by=lambda point: point[0]),
    values=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
)
def test_raising_a_feature_that_speaks_for_a_conflict_never_lowers_its_probability(weight, curve, values) -> None:
    heights = sorted(y for _, y in curve)
    rising = tuple(zip(sorted(x for x, _ in curve), heights, strict=True))
    fit = Fit(0.3, (FeatureWeight("odds", weight, 1.0, 2.0),), rising)
    estimator = CalibratedEstimator(replace(profile(), conflict={"same_language": fit}))
    base = evidence({"a": "red", "b": "blue"}, {AB: 0.5})
    low, high = (
        estimator.estimate(replace(base, features={"odds": {AB: value}})).pairs[0].probability
        for value in sorted(values)
    )
    assert low <= high + 1e-12
    assert 0.0 <= low <= 1.0


def test_a_question_that_was_not_put_in_english_is_not_calibrated() -> None:
    fitted = CalibratedEstimator(profile())
    for found in (
        evidence({"a": "25", "b": "15"}, {AB: 0.9}),
        evidence({"a": "25", "b": ""}),
        evidence({"a": "", "b": ""}),
    ):
        assert fitted.estimate(found).calibrated
        assert not fitted.estimate(replace(found, asked_in="tr")).calibrated
        assert not fitted.estimate(replace(found, question_language="ru")).calibrated, "put in English all the same"


def test_languages_that_were_not_fitted_are_weighed_alike_but_not_calibrated() -> None:
    told = replace(profile(), languages=("en-en", "de-en"))
    for languages, calibrated in (
        ({}, True),
        ({"b": "de"}, True),
        ({"b": "und"}, True),
        ({"b": "is"}, False),
        ({"a": "zh", "b": "zh"}, False),
    ):
        found = evidence({"a": "red", "b": "blue"}, {AB: 0.8}, **languages)
        verdict = judged(found, told)
        assert (verdict.decision, verdict.calibrated) == (Decision.CONFLICT, calibrated), languages


@pytest.mark.parametrize(
    ("modalities", "pictured", "calibrated"),
    [
        (("text",), "b", False),
        (("text",), "ab", False),
        (("image", "text"), "b", True),
        (("image", "text"), "ab", True),
        (("image",), "ab", True),
        (("image",), "b", False),
        (("image",), "", False),
    ],
)
def test_modalities_that_were_not_fitted_are_weighed_alike_but_not_calibrated(modalities, pictured, calibrated) -> None:
    texts = evidence({"a": "red", "b": "blue"}, {AB: 0.8}, **dict.fromkeys(pictured, "und"))
    found = shown(texts, pictured)
    estimate = CalibratedEstimator(replace(profile(), modalities=modalities)).estimate(found)
    assert estimate.calibrated is calibrated
    assert replace(estimate, calibrated=True) == CalibratedEstimator(profile()).estimate(texts)


def test_only_spans_that_answer_have_to_be_of_a_modality_that_was_fitted() -> None:
    fitted = CalibratedEstimator(profile())
    answers = {"a": "25", "b": "15", "c": "unknown"}
    assert fitted.estimate(shown(evidence(answers, {AB: 0.9}), "c")).calibrated
    assert not fitted.estimate(shown(evidence({"a": "25", "b": ""}), "a")).calibrated
    assert fitted.estimate(shown(evidence({"a": "25", "b": ""}), "b")).calibrated


def test_without_a_fit_of_whether_both_answer_agreement_needs_other_grounds() -> None:
    found = evidence({"a": "red", "b": "crimson"}, {AB: 0.1})
    assert judged(found).decision is Decision.CONSISTENT
    assert judged(found, profile(comparable=())).decision is Decision.UNDETERMINED


def test_claims_that_differ_by_value_are_never_called_agreement() -> None:
    verdict = judged(evidence({"a": "8:15", "b": "9:40"}, {AB: 0.1}))
    assert verdict.decision is Decision.UNDETERMINED
    assert "which differ by value" in verdict.reason
