"""The profile that comes with SmolLM2, on the real model: it is used where it was fitted for, and tells cases apart."""

from pathlib import Path

import pytest

from xmguard import AnswerRequest, Decision, Span, load_guard
from xmguard.models.smollm2 import SmolLM2
from xmguard.profile_reader import read_profile

QUESTION = "What colour is the ferry?"
PAIRS = {
    "conflict": ("The ferry in the harbour is red.", "Passengers board a blue ferry."),
    "consistent": ("The ferry in the harbour is red.", "Passengers board a red ferry."),
    "unrelated": ("The ferry in the harbour is red.", "Two children fly a kite on the beach."),
}


@pytest.fixture(scope="module")
def guard(smollm2_folder):
    return load_guard("smollm2")


def checked(guard, texts, **options):
    spans = tuple(Span(text=text, language="en") for text in texts)
    return guard.check(AnswerRequest(spans=spans, question=QUESTION, **options))


@pytest.fixture(scope="module")
def conflict(guard):
    return checked(guard, PAIRS["conflict"])


def test_it_is_read_and_used(guard, conflict):
    assert guard.profile == read_profile(Path(SmolLM2.profile))
    assert guard.stamp.profile == guard.profile.name
    assert guard.describe().calibration.startswith("calibrated on ")
    assert conflict.verdict.calibrated


def test_what_it_runs_is_within_what_was_said_it_would_cost(guard, conflict):
    spans = tuple(Span(text=text, language="en") for text in PAIRS["conflict"])
    ready = guard.prepare(AnswerRequest(spans=spans, question=QUESTION), answers=False)
    run = conflict.usage.prompt_tokens + conflict.usage.evidence_tokens
    assert run <= ready.cost < 3 * run


def test_a_conflict_is_likelier_than_agreement_and_an_unrelated_source_is_neither(guard, conflict):
    assert conflict.verdict.decision is Decision.CONFLICT
    consistent = checked(guard, PAIRS["consistent"]).verdict
    assert consistent.probability < conflict.verdict.probability - 0.3
    assert checked(guard, PAIRS["unrelated"]).verdict.decision is Decision.UNDETERMINED


def test_both_orders_of_two_short_sources_are_judged_alike(guard, conflict):
    back = checked(guard, PAIRS["conflict"][::-1]).verdict
    assert conflict.verdict.probability == pytest.approx(back.probability, abs=0.15)


def test_the_requests_threshold_moves_the_decision(guard, conflict):
    threshold = min(1.0, conflict.verdict.probability + 0.01)
    stricter = checked(guard, PAIRS["conflict"], conflict_threshold=threshold).verdict
    assert stricter.decision is not Decision.CONFLICT


def test_another_precision_is_not_calibrated_and_says_so(smollm2_folder):
    guard = load_guard("smollm2", dtype="bfloat16")
    assert not checked(guard, PAIRS["conflict"]).verdict.calibrated
    assert "fitted for dtype float32, loaded is bfloat16" in guard.describe().calibration


def test_by_default_attention_is_left_alone(conflict):
    """No bias was found that costs nothing, so the profile sets none."""
    assert not conflict.rebalancing.applied


def test_shared_boilerplate_does_not_turn_values_that_differ_into_agreement(guard):
    """Shared words speak for agreement; what each source claims is looked at all the same."""
    filler = " The harbour was quiet that morning, and gulls circled over the empty pier under a grey sky." * 2
    texts = [f"The ferry to Ransey leaves at {time} every day.{filler}" for time in ("8:15", "9:40")]
    spans = tuple(Span(text=text, language="en") for text in texts)
    question = "What time does the ferry to Ransey leave?"
    assert guard.check(AnswerRequest(spans=spans, question=question)).verdict.decision is not Decision.CONSISTENT
