from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmguard.evidence import AnswerKind, Bounds, Estimate, Evidence, PairEstimate, SpanEvidence
from xmguard.languages.english import English
from xmguard.response import AnswerGroup, Decision, Quote, Status
from xmguard.verdict.decision import decide, failed, skipped, with_quotes
from xmguard.verdict.provisional import ProvisionalEstimator


def evidence(*answers: str) -> Evidence:
    return Evidence(
        "How much?",
        tuple(
            SpanEvidence(f"s{index}", "en", answer, English().normalize(answer), 0.5, (), {}, ())
            for index, answer in enumerate(answers, start=1)
        ),
    )


def pair(a: int, b: int, probability: float) -> PairEstimate:
    return PairEstimate(f"s{a}", f"s{b}", probability)


def test_conflict_names_the_spans_and_their_answers() -> None:
    verdict = decide(evidence("25%", "15% "), Estimate((pair(1, 2, 0.93),), calibrated=True), 0.5)
    assert (verdict.decision, verdict.status, verdict.probability) == (Decision.CONFLICT, Status.OK, 0.93)
    assert verdict.calibrated
    assert verdict.reason == "s1 says “25%” but s2 says “15%” (probability of a conflict 0.93, threshold 0.50)."
    assert verdict.groups == (AnswerGroup("25%", ("s1",)), AnswerGroup("15%", ("s2",)))
    (found,) = verdict.disagreements
    assert (found.span_a, found.span_b, found.answer_a, found.answer_b, found.score) == ("s1", "s2", "25%", "15%", 0.93)


def test_a_conflict_of_equal_answers_is_not_told_as_one_between_them() -> None:
    verdict = decide(evidence("When does it leave?", "When does it leave?"), Estimate((pair(1, 2, 0.93),)), 0.5)
    assert verdict.reason == (
        "s1 and s2 seem to contradict each other, although the model says “When does it leave?” of either "
        "(probability of a conflict 0.93, threshold 0.50)."
    )


def test_the_reason_calls_spans_what_the_caller_calls_them() -> None:
    sources = {"s1": "city council", "s2": " "}
    verdict = decide(evidence("25%", "15%"), Estimate((pair(1, 2, 0.93),)), 0.5, sources)
    assert verdict.reason.startswith("s1 (city council) says “25%” but s2 says “15%” (")


def test_quotes_stand_in_every_disagreement_and_the_reason_points_to_the_surest() -> None:
    estimate = Estimate((pair(1, 2, 0.6), pair(1, 3, 0.9)))
    verdict = decide(evidence("25%", "15%", "35%"), estimate, 0.5)
    one, two = Quote("It rose by 25%.", 9, 24), Quote("Nein, 15%!", 0, 10)
    told = with_quotes(verdict, {"s1": one, "s2": two})
    assert [(found.evidence_a, found.evidence_b) for found in told.disagreements] == [(one, None), (one, two)]
    assert told.reason == verdict.reason.removesuffix(".") + "; see characters 9-24 of s1."
    assert replace(told, reason=verdict.reason, disagreements=verdict.disagreements) == verdict
    assert with_quotes(verdict, {}) == verdict


def test_disagreements_are_the_pairs_above_the_threshold_surest_first() -> None:
    estimate = Estimate((pair(1, 2, 0.6), pair(1, 3, 0.9), pair(2, 3, 0.5)))
    verdict = decide(evidence("25%", "15%", "35%"), estimate, 0.5)
    assert [(found.span_a, found.span_b) for found in verdict.disagreements] == [("s1", "s3"), ("s1", "s2")]
    assert verdict.reason.endswith("; 1 more pair disagrees.")


def test_the_worst_pair_decides() -> None:
    verdict = decide(evidence("a", "b", "c"), Estimate((pair(1, 2, 0.1), pair(1, 3, 0.7), pair(2, 3, 0.2))), 0.5)
    assert verdict.probability == 0.7
    assert verdict.decision is Decision.CONFLICT


def test_consistent_says_what_they_say() -> None:
    verdict = decide(evidence("25%", "25 percent"), Estimate((pair(1, 2, 0.01),)), 0.5)
    assert (verdict.decision, verdict.probability) == (Decision.CONSISTENT, 0.01)
    assert verdict.reason == "All 2 sources say “25%”."
    assert not verdict.calibrated


def scored(*answers: str, own: float = -1.0, prior: float = -4.0, under: float = -1.1) -> Evidence:
    """Every answer scored under every other span, the same everywhere."""
    spans = evidence(*answers).spans
    return Evidence(
        "How much?",
        tuple(
            replace(
                one,
                own=(own,) * 2,
                prior=(prior,) * 2,
                under={other.span_id: (under,) * 2 for other in spans if other is not one},
            )
            for one in spans
        ),
    )


def test_consistent_with_different_wording_lists_it() -> None:
    verdict = decide(scored("a car", "an automobile"), Estimate((pair(1, 2, 0.1),)), 0.5)
    assert verdict.decision is Decision.CONSISTENT
    assert (
        verdict.reason == "No two of the 2 sources contradict each other: s1 says “a car” and s2 says “an automobile”."
    )


@pytest.mark.parametrize(
    ("own", "prior", "decision"), [(-1.0, -3.0, Decision.CONSISTENT), (-3.0, -1.0, Decision.UNDETERMINED)]
)
def test_agreement_needs_answers_that_reading_made_likelier(own: float, prior: float, decision: Decision) -> None:
    """A model that says "no" to everything makes all sources agree without having read any."""
    first, second = evidence("no", "no").spans
    read = Evidence("Is it?", (first, replace(second, own=(own, -0.1), prior=(prior, -0.1))))
    verdict = decide(read, Estimate((pair(1, 2, 0.01),)), 0.5)
    assert verdict.decision is decision
    assert ("s2 would be as likely without reading" in verdict.reason) is (decision is Decision.UNDETERMINED)


def test_texts_whose_likelihoods_hardly_move_are_no_agreement() -> None:
    material = scored("red", "blue", own=-1.0, prior=-1.02, under=-1.10)
    verdict = decide(material, ProvisionalEstimator().estimate(material), 0.5)
    assert verdict.decision is Decision.UNDETERMINED
    assert "s1 and s2 would be as likely without reading" in verdict.reason


@pytest.mark.parametrize(
    ("answers", "under", "decision", "why"),
    [
        (("a car", "an automobile"), -1.1, Decision.CONSISTENT, ""),
        (("a car", "an automobile"), -2.0, Decision.UNDETERMINED, "one source does not bear out the other's"),
        (("25% of men", "25% of women"), -2.0, Decision.UNDETERMINED, "one source does not bear out the other's"),
        (("25%", "15%"), -2.0, Decision.UNDETERMINED, "which differ by value"),
        (("25%", "It is 25%."), -2.0, Decision.CONSISTENT, ""),
        (("25%", "It is 25%."), -3.9, Decision.CONSISTENT, ""),
        (("25%", "It is 25%."), -4.1, Decision.UNDETERMINED, "unlikely given the other"),
    ],
)
def test_agreement_is_established_by_equality_or_by_what_the_other_span_bears_out(
    answers: tuple[str, str], under: float, decision: Decision, why: str
) -> None:
    verdict = decide(scored(*answers, under=under), Estimate((pair(1, 2, 0.01),)), 0.5)
    assert verdict.decision is decision
    assert why in verdict.reason


def test_one_direction_that_fits_is_enough_for_equal_claims_and_not_for_others() -> None:
    for said, decision in ((("25%", "25%"), Decision.CONSISTENT), (("a", "b"), Decision.UNDETERMINED)):
        first, second = scored(*said).spans
        material = Evidence("How much?", (first, replace(second, under={"s1": (-20.0,)})))
        assert decide(material, Estimate((pair(1, 2, 0.01),)), 0.5).decision is decision


def test_unscored_answers_agree_only_by_value() -> None:
    verdict = decide(evidence("a car", "an automobile"), Estimate((pair(1, 2, 0.1),)), 0.5)
    assert verdict.decision is Decision.UNDETERMINED
    assert "were not scored" in verdict.reason


def test_a_pair_that_was_not_scored_stands_on_its_groups() -> None:
    one, two, three = scored("a car", "an automobile", "the car").spans
    pairs = Estimate((pair(1, 2, 0.1), pair(1, 3, 0.1), pair(2, 3, 0.1)))
    unscored = replace(three, under={})
    material = Evidence("How?", (one, replace(two, under={"s1": (-1.1,)}), unscored))
    assert decide(material, pairs, 0.5).decision is Decision.CONSISTENT
    material = Evidence("How?", (replace(one, under={}), replace(two, under={}), unscored))
    assert decide(material, pairs, 0.5).reason == "The answers of s1 and s2 could not be compared."


def test_in_between_is_undetermined_and_says_so() -> None:
    verdict = decide(evidence("a car", "a boat"), Estimate((pair(1, 2, 0.4),)), 0.5)
    assert (verdict.decision, verdict.status, verdict.probability) == (Decision.UNDETERMINED, Status.OK, 0.4)
    assert verdict.reason.startswith("Too close to call: s1 says “a car”, s2 says “a boat”")


def test_a_silent_span_leaves_agreement_open() -> None:
    verdict = decide(evidence("25%", "25%", "not stated"), Estimate((pair(1, 2, 0.01),)), 0.5)
    assert verdict.decision is Decision.UNDETERMINED
    assert verdict.reason == "s3 gives no answer to the question, so agreement is open."


def test_a_silent_span_does_not_hide_a_conflict_of_others() -> None:
    verdict = decide(evidence("25%", "15%", "not stated"), Estimate((pair(1, 2, 0.9),)), 0.5)
    assert verdict.decision is Decision.CONFLICT


def test_a_pair_that_was_not_compared_leaves_agreement_open() -> None:
    verdict = decide(evidence("car", "bus", "van"), Estimate((pair(1, 2, 0.01),)), 0.5)
    assert verdict.decision is Decision.UNDETERMINED
    assert verdict.reason == "The answers of s1 and s3 could not be compared, and neither could 1 other pair."


def test_the_estimators_doubt_is_passed_on() -> None:
    verdict = decide(evidence("25%", "unknown"), Estimate((), undetermined="only s1 answers the question"), 0.5)
    assert (verdict.decision, verdict.status, verdict.probability) == (Decision.UNDETERMINED, Status.OK, None)
    assert verdict.reason == "Only s1 answers the question."


def test_one_span_alone_is_never_consistent() -> None:
    assert decide(evidence("25%"), Estimate(()), 0.5).decision is Decision.UNDETERMINED


@pytest.mark.parametrize(
    ("threshold", "probability", "decision"),
    [
        (0.0, 0.0, Decision.UNDETERMINED),
        (0.0, 1e-9, Decision.CONFLICT),
        (1.0, 1.0, Decision.UNDETERMINED),
        (1.0, Bounds().agreement_below, Decision.UNDETERMINED),
        (1.0, 0.34, Decision.CONSISTENT),
        (0.5, 0.5, Decision.UNDETERMINED),
        (0.2, 0.2, Decision.UNDETERMINED),
        (0.2, 0.19, Decision.CONSISTENT),
    ],
)
def test_edges_of_the_threshold(threshold: float, probability: float, decision: Decision) -> None:
    verdict = decide(evidence("25%", "25 percent"), Estimate((pair(1, 2, probability),)), threshold)
    assert verdict.decision is decision


@pytest.mark.parametrize("threshold", [math.nan, -0.1, 1.1, math.inf])
def test_a_threshold_out_of_range_is_an_error(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        decide(evidence("a", "b"), Estimate((pair(1, 2, 0.5),)), threshold)


@pytest.mark.parametrize("probability", [math.nan, -0.1, 1.1])
def test_a_probability_out_of_range_is_an_error(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        decide(evidence("a", "b"), Estimate((pair(1, 2, probability),)), 0.5)


@pytest.mark.parametrize("bad", [pair(1, 9, 0.5), pair(1, 1, 0.5)])
def test_a_pair_of_unknown_spans_is_an_error(bad: PairEstimate) -> None:
    with pytest.raises(ValueError, match="no pair"):
        decide(evidence("a", "b"), Estimate((bad,)), 0.5)


def test_long_answers_are_shortened_in_the_reason_only() -> None:
    verdict = decide(evidence("word " * 100, "x" * 500), Estimate((pair(1, 2, 0.9),)), 0.5)
    assert len(verdict.reason) < 300
    assert "…" in verdict.reason
    assert len(verdict.disagreements[0].answer_b) == 500


def test_skipped_and_failed_establish_nothing() -> None:
    for verdict, status in ((skipped("there is one source"), Status.SKIPPED), (failed("it broke."), Status.ERROR)):
        assert (verdict.decision, verdict.status, verdict.probability) == (Decision.UNDETERMINED, status, None)
    assert skipped("there is one source").reason == "There is one source."
    assert failed("s1 broke").reason == "s1 broke."


answers = st.sampled_from(["25%", "15%", "25", "a car", "the car", "unknown", "", "March 3", "Yes", "No"])


@given(st.lists(answers, max_size=6), st.floats(0, 1))
def test_consistent_only_when_every_span_answered_and_every_pair_was_compared(
    said: list[str], threshold: float
) -> None:
    material = evidence(*said)
    estimate = ProvisionalEstimator().estimate(material)
    verdict = decide(material, estimate, threshold)
    assert verdict.status is Status.OK
    assert verdict.reason.endswith((".", "!", "?"))
    assert verdict.probability is None or 0 <= verdict.probability <= 1
    assert bool(verdict.disagreements) == (verdict.decision is Decision.CONFLICT)
    if verdict.decision is Decision.CONSISTENT:
        assert all(span.normalized.kind is not AnswerKind.NONE for span in material.spans)
        assert len(estimate.pairs) == len(said) * (len(said) - 1) // 2 > 0
        assert verdict.probability is not None
        assert verdict.probability < min(threshold, Bounds().agreement_below)
