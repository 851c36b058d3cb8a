"""What a request is said to cost is never less than what it then runs, and not far more."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.pictures import registry_with_sketches, sketch
from xmguard.backends.transformers.loader import load
from xmguard.evidence import Estimate, PairEstimate
from xmguard.guard import Guard
from xmguard.request import AnswerRequest, Decoding, Detail, OnConflict, OnError, Prompt, Rebalance, Scope
from xmguard.response import Status
from xmguard.span import Span
from xmguard.testing.tiny_pictures import make_picture_model
from xmguard.verdict import grouping
from xmguard.verdict.equality import Agreement

TEXTS = ("The door is heavy. It was painted red in May. Nobody minds.", "Mavi. Kapı ağır.", "It is green.", "No paint.")


def request(count=2, **more):
    spans = tuple(Span(text=f"{TEXTS[number % 4]}", language="en") for number in range(count))
    return AnswerRequest(
        spans=spans,
        question="Which colour?",
        **({"decoding": Decoding(max_tokens=12), "on_error": OnError.OPEN} | more),
    )


class AllDisagree:
    """An estimator that finds every pair to disagree, so that everything is quoted."""

    name = summary = "scripted"

    def __init__(self, features=()):
        self.features = features

    def estimate(self, evidence):
        ids = [span.span_id for span in evidence.spans]
        return Estimate(tuple(PairEstimate(a, b, 0.9) for a in ids for b in ids if a < b))


@pytest.fixture(scope="module")
def guard(tiny_backend, registry):
    return Guard(tiny_backend, registry, model="tiny")


@pytest.fixture
def quoting(tiny_backend, registry):
    guard = Guard(tiny_backend, registry, model="tiny")
    guard._judge._estimator = AllDisagree()
    return guard


def spent(response):
    usage = response.usage
    return usage.prompt_tokens + usage.completion_tokens + usage.evidence_tokens


def costs(guard, asked, *, answers=True, skip=""):
    """Cost over what was run, and the response."""
    ready = guard.prepare(asked, answers=answers)
    response = (
        (guard.answer(ready) if answers else guard.check(ready)) if not skip else last(guard, ready, answers, skip)
    )
    bound = ready.cost_without_evidence if skip else ready.cost
    print(f"{'answer' if answers else 'check'} {len(asked.spans)} spans: cost {bound}, run {spent(response)}")
    assert spent(response) <= bound
    return bound / spent(response), response


def last(guard, ready, answers, skip):
    if not answers:
        return guard.check(ready, skip_evidence=skip)
    return list(guard.stream(ready, skip_evidence=skip))[-1].response


@pytest.mark.parametrize("answers", [True, False], ids=["answer", "check"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_cost_holds_and_is_near(guard, count, answers):
    ratio, _ = costs(guard, request(count), answers=answers)
    assert ratio < 2.5


@pytest.mark.parametrize(
    "more",
    [
        {"detail": Detail(layers=True, alone_answers=True, unbiased_answer=True, toward_answer=True)},
        {"rebalance": Rebalance("fixed", bias={"s2": 2.0}), "detail": Detail(unbiased_answer=True)},
        {"rebalance": Rebalance("fixed", bias={"s2": 2.0}, scope=Scope.ALL)},
        {"rebalance": Rebalance("target", {"share": 0.3}), "prompt": Prompt.EXPLICIT},
    ],
    ids=["every-detail", "unbiased", "scope-all", "target"],
)
def test_it_holds_for_whatever_is_asked_for(guard, more):
    asked = request(3, **more)
    assert costs(guard, asked)[0] < 2.5
    assert costs(guard, asked, answers=False)[0] < 2.5


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    texts=st.lists(st.sampled_from([*TEXTS, "", "25", "It is red. " * 9]).map("It: {}".format), min_size=1, max_size=7),
    answers=st.booleans(),
    tokens=st.integers(1, 30),
    detail=st.builds(Detail, *[st.booleans()] * 4),
    scope=st.sampled_from(Scope),
    policy=st.sampled_from(["none", "fixed"]),
    prompt=st.sampled_from(Prompt),
    conflict=st.sampled_from(OnConflict),
)
def test_it_holds_for_any_request(guard, texts, answers, tokens, detail, scope, policy, prompt, conflict):
    bias = {"s1": 1.5} if policy == "fixed" else {}
    asked = AnswerRequest(
        spans=tuple(Span(text=text, language="en") for text in texts),
        question="Which colour?",
        rebalance=Rebalance(policy, bias=bias, scope=scope),
        decoding=Decoding(max_tokens=tokens),
        detail=detail,
        prompt=prompt,
        on_conflict=conflict,
        on_error=OnError.OPEN,
    )
    costs(guard, asked, answers=answers)


def test_many_spans_run_nearly_all_of_it_where_no_two_say_the_same(guard, monkeypatch):
    """Which is why it cannot be said smaller before the spans have been read."""
    spans = tuple(Span(text=f"Door {number} is {'very ' * number}red.", language="en") for number in range(16))
    ratios = {}
    for agreement in (Agreement.DIFFERENT, Agreement.SAME):
        monkeypatch.setattr(grouping, "compare", lambda one, other, agreement=agreement: agreement)
        ratios[agreement], _ = costs(guard, replace(request(), spans=spans), answers=False)
    assert ratios[Agreement.DIFFERENT] < 1.5
    assert ratios[Agreement.SAME] > 2 * ratios[Agreement.DIFFERENT]


def test_a_context_that_is_read_again_is_counted_again(guard):
    steered = Rebalance("fixed", bias={"s2": 2.0})
    readers, everywhere = (
        guard.prepare(request(rebalance=replace(steered, scope=scope))) for scope in (Scope.READERS, Scope.ALL)
    )
    assert everywhere.cost - readers.cost == len(readers.prompt.context_ids)


def test_what_is_run_beside_the_answer_is_counted(guard):
    """A context that is prefilled again under a bias, and the answer that is read again for its direction."""
    steered = Rebalance("fixed", bias={"s2": 2.0})
    readers = request(rebalance=steered)
    plain, everywhere, directed = (
        guard.answer(asked).usage.evidence_tokens
        for asked in (
            readers,
            replace(readers, rebalance=replace(steered, scope=Scope.ALL)),
            replace(readers, detail=Detail(toward_answer=True)),
        )
    )
    assert everywhere - plain == len(guard.prepare(readers).prompt.context_ids)
    assert directed - plain == readers.decoding.max_tokens


def test_quotes_are_counted(quoting, guard):
    ratio, response = costs(quoting, request(5), answers=False)
    assert any(pair.evidence_a for pair in response.verdict.disagreements)
    assert ratio < 2.0


def test_pictures_are_counted(tmp_path_factory):
    folder = make_picture_model(tmp_path_factory.mktemp("model"), "Qwen2VL")
    registry = registry_with_sketches()
    guard = Guard(load(folder, registry=registry), registry, model="tiny")
    seen = replace(request(2), spans=(Span("drawn", media=sketch(1)), Span("said", TEXTS[0], language="en")))
    assert costs(guard, seen)[0] < 2.5


def test_without_evidence_the_verdict_is_skipped_and_says_why(guard):
    why = "The server is busy."
    for answers in (True, False):
        ratio, response = costs(guard, request(3), answers=answers, skip=why)
        assert ratio < 1.3
        assert response.verdict.status is Status.SKIPPED
        assert response.verdict.probability is None
        assert response.verdict.reason == why
        assert response.usage.evidence_tokens == 0


def test_only_who_said_open_is_answered_without_evidence(guard):
    for more in ({"on_error": OnError.CLOSED}, {"detail": Detail(alone_answers=True)}):
        ready = guard.prepare(request(**more))
        assert not ready.may_skip_evidence
        with pytest.raises(ValueError, match="does not allow"):
            next(guard.stream(ready, skip_evidence="busy"))
    assert guard.prepare(request()).may_skip_evidence


def test_nothing_is_encoded_twice(guard, monkeypatch):
    encoded = []
    backend = type(guard.backend)
    original = backend.encode
    monkeypatch.setattr(backend, "encode", lambda *args: encoded.append(1) or original(*args))
    ready = guard.prepare(request())
    assert ready.cost > 0
    guard.check(ready)
    guard.answer(ready)
    assert len(encoded) == 1
