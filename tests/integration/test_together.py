"""Requests that share their spans, answered as one batch, against the same requests one by one."""

from dataclasses import replace

import pytest

from tests.integration.test_quoting import Scripted
from xmguard import AnswerRequest, Detail, Guard, OnConflict, Rebalance, Span
from xmguard.backends.transformers.prefill import ContextStore
from xmguard.errors import InvalidRequest
from xmguard.request import Decoding, Prompt, Scope
from xmguard.together import require_alike

SPANS = (Span("a", "The old door is painted red.", language="en"), Span("b", "It is green now.", language="en"))
FIRST = AnswerRequest(
    spans=SPANS,
    question="Which colour is the door?",
    prompt=Prompt.STANDARD,
    rebalance=Rebalance("none"),
    on_conflict=OnConflict.PLAIN,
    decoding=Decoding(max_tokens=12),
    detail=Detail(unbiased_answer=True, layers=True),
)
REQUESTS = [
    FIRST,
    replace(FIRST, prompt=Prompt.EXPLICIT, decoding=Decoding(max_tokens=30)),
    replace(FIRST, prompt=Prompt.INSTRUCTED, rebalance=Rebalance("fixed", bias={"b": 3.0})),
    replace(FIRST, rebalance=Rebalance("fixed", bias={"a": 3.0}, scope=Scope.ALL)),
    replace(FIRST, rebalance=Rebalance("fixed", bias={"b": -4.0}, scope=Scope.GENERATED)),
]


@pytest.fixture
def guard(tiny_backend, registry):
    return Guard(tiny_backend, registry, model="tiny")


def near(value):
    return pytest.approx(value, rel=1e-4, abs=1e-6)


def test_what_is_answered_together_is_what_is_answered_one_by_one(guard):
    together = guard.answers(REQUESTS)
    alone = [guard.answer(request) for request in REQUESTS]
    assert len({response.raw_answer for response in alone}) >= 4  # prompts and biases do change what this model says
    for found, wanted in zip(together, alone, strict=True):
        assert found.raw_answer == wanted.raw_answer
        assert found.unbiased_answer == wanted.unbiased_answer
        assert found.finish_reason is wanted.finish_reason
        assert found.rebalancing == wanted.rebalancing
        assert found.verdict.decision is wanted.verdict.decision
        assert found.verdict.probability == near(wanted.verdict.probability)
        assert found.usage.prompt_tokens == wanted.usage.prompt_tokens
        assert found.usage.completion_tokens == wanted.usage.completion_tokens
        for one, other in zip(found.spans, wanted.spans, strict=True):
            assert one.contribution_before == near(other.contribution_before)
            assert one.contribution_after == near(other.contribution_after)
            assert one.contribution_generated == near(other.contribution_generated)


def test_every_one_is_told_to_the_observers(guard):
    seen = []
    guard._observers = [type("Seen", (), {"name": "seen", "observe": lambda self, event: seen.append(event)})()]
    responses = guard.answers(REQUESTS[:3])
    assert [event.request.prompt for event in seen] == [Prompt.STANDARD, Prompt.EXPLICIT, Prompt.INSTRUCTED]
    assert [event.method for event in seen] == ["answer"] * 3
    assert [event.first_token_seconds for event in seen] == [None] * 3, "all was decoded before any was made"
    assert [event.response for event in seen] == responses


def test_what_was_run_for_one_verdict_is_counted_for_all(guard):
    two = tuple(replace(span, text=f"{span.text} Nobody minds.") for span in SPANS)
    requests = [replace(FIRST, spans=two), replace(FIRST, spans=two, prompt=Prompt.INSTRUCTED)]
    guard._judge._estimator = Scripted(probability=0.1)
    unquoted, _ = guard.answers(requests)
    guard._judge._estimator = Scripted()
    one, other = guard.answers(requests)
    assert one.usage.evidence_tokens > unquoted.usage.evidence_tokens, "quotes were looked for"
    # What all have run, but each answer's own tail and tokens, the last of which is not read back.
    own = [found.usage.prompt_tokens + max(0, found.usage.completion_tokens - 1) for found in (one, other)]
    assert own[0] != own[1]
    assert one.usage.evidence_tokens + own[0] == other.usage.evidence_tokens + own[1]


def test_the_context_is_prefilled_once(guard, monkeypatch):
    prefilled = []
    really = ContextStore._prefill
    monkeypatch.setattr(ContextStore, "_prefill", lambda self, bias: prefilled.append(bias) or really(self, bias))
    guard.answers(REQUESTS[:3])
    assert prefilled == [None]
    guard.answers(REQUESTS[:4])
    assert [bias is None for bias in prefilled] == [True, True, False]  # scope ALL reads the context anew


def test_requests_that_read_something_else_are_refused_with_every_difference():
    other = replace(FIRST, question="Who painted it?", spans=SPANS[:1])
    with pytest.raises(InvalidRequest) as refused:
        require_alike([FIRST, replace(FIRST, prompt=Prompt.EXPLICIT), other])
    assert [violation.field for violation in refused.value.violations] == ["requests[2].spans", "requests[2].question"]
    with pytest.raises(InvalidRequest, match="there are none"):
        require_alike([])
