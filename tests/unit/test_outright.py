"""The verdict where nothing is scored: claims, and the model's own word."""

import pytest

from xmguard.abilities import Ability, absences
from xmguard.evidence import AnswerKind, Evidence, NormalizedAnswer, SpanEvidence
from xmguard.response import Decision
from xmguard.verdict.decision import decide
from xmguard.verdict.equality import Agreement
from xmguard.verdict.outright import OutrightEstimator, conflict_probability


def span(name: str, value: str, kind: AnswerKind = AnswerKind.NUMBER) -> SpanEvidence:
    return SpanEvidence(name, "en", value, NormalizedAnswer(kind, value), entropy=None, own=(), under={}, prior=())


def decided(*spans: SpanEvidence, word: float | None = None, unanswered: float | None = None):
    told = {"probe_conflict": word, "probe_unanswered": unanswered}
    features = {name: {("s1", "s2"): value} for name, value in told.items() if value is not None}
    evidence = Evidence("How much?", spans, features)
    return decide(evidence, OutrightEstimator().estimate(evidence))


TEXT = AnswerKind.TEXT


@pytest.mark.parametrize(
    ("first", "second", "kind", "word", "decision"),
    [
        ("25", "25", AnswerKind.NUMBER, None, Decision.CONSISTENT),
        ("25", "25", AnswerKind.NUMBER, -9.0, Decision.CONSISTENT),
        ("25", "25", AnswerKind.NUMBER, 9.0, Decision.UNDETERMINED),
        ("25", "15", AnswerKind.NUMBER, None, Decision.CONFLICT),
        ("25", "15", AnswerKind.NUMBER, 9.0, Decision.CONFLICT),
        ("25", "15", AnswerKind.NUMBER, -9.0, Decision.UNDETERMINED),
        ("paris", "lyon", TEXT, 9.0, Decision.CONFLICT),
        ("paris", "lyon", TEXT, 0.0, Decision.UNDETERMINED),
        ("paris", "lyon", TEXT, -9.0, Decision.UNDETERMINED),
        ("paris", "lyon", TEXT, None, Decision.UNDETERMINED),
    ],
)
def test_agreement_takes_equal_claims_that_the_model_does_not_deny(first, second, kind, word, decision):
    verdict = decided(span("s1", first, kind), span("s2", second, kind), word=word)
    assert verdict.decision is decision
    assert not verdict.calibrated


def test_the_models_word_never_makes_agreement_likelier_than_claims_do():
    for agreement in Agreement:
        words = [conflict_probability(agreement, word) for word in (-20.0, -1.0, 0.0, 1.0, 20.0)]
        assert words == sorted(words)
    assert conflict_probability(Agreement.UNKNOWN, None) is None


def test_a_pair_of_which_the_model_says_that_one_does_not_answer_is_open():
    verdict = decided(span("s1", "25"), span("s2", "15"), unanswered=4.0)
    assert verdict.decision is Decision.UNDETERMINED
    assert "do not both seem to answer" in verdict.reason


@pytest.mark.parametrize(("count", "said"), [(0, "no source answers"), (1, "only s1 answers")])
def test_too_few_answers_are_undetermined(count, said):
    silent = SpanEvidence("s2", "en", "", NormalizedAnswer(AnswerKind.NONE, ""), None, (), {}, ())
    spans = (span("s1", "25"), silent) if count else (silent,)
    assert said in OutrightEstimator().estimate(Evidence("How much?", spans)).undetermined


def test_what_is_lacking_is_one_line_a_reason():
    lacks = {Ability.MEASURE: "it is blind", Ability.COUNT: "it cannot count", Ability.SCORE: "it is blind"}
    assert absences(lacks) == ["no contributions, likelihoods: it is blind", "no token counts: it cannot count"]
