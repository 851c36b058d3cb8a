"""What the guard makes of an API of chat completions that fails, refuses or does not end, and of wrong options."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from tests import chat_api
from tests.chat_api import MODEL, eventually, refusal
from tests.integration.openai_engine.asking import NEW, OLD, asking, guarding
from xmguard import wire
from xmguard.deadline import Stop
from xmguard.errors import Cancelled, DeadlineExceeded, EngineError, ErrorCode, InvalidRequest, Reason
from xmguard.loading import load_guard
from xmguard.request import Decoding, OnConflict, OnError
from xmguard.response import Decision, Delta, FinishReason

KEY = "sk-a-very-secret-key"
TRIAL_AND = 1
"""Number of the first call after the trial."""


@pytest.mark.parametrize("ends", ["deadline", "cancel"])
def test_a_request_ends_on_time_and_its_calls_with_it(api, guard, ends):
    guard.check(asking(OLD, NEW))  # the first request reads tables of languages, for longer than the time below
    api.before = lambda message, number: api.closing.wait(0.05)
    api.reply = lambda message: "word " * 200
    stop = Stop(0.4 if ends == "deadline" else None)
    if ends == "cancel":
        threading.Timer(0.4, stop.cancel).start()
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded if ends == "deadline" else Cancelled):
        guard.answer(asking(OLD, NEW), stop=stop)
    assert time.monotonic() - started < 3
    eventually(lambda: api.gone == 3)


def test_an_answer_that_is_not_shown_is_not_waited_for(api, guard):
    api.before = lambda message, number: api.closing.wait(0.05) if "Using all" in message else None
    api.reply = lambda message: "word " * 400 if "Using all" in message else chat_api.answer(message)
    response = guard.answer(asking(OLD, NEW, on_conflict=OnConflict.ABSTAIN))
    assert response.finish_reason is FinishReason.ABSTAINED
    eventually(lambda: api.gone == 1)


def test_a_caller_who_goes_away_ends_the_calls(api, guard):
    api.before = lambda message, number: api.closing.wait(0.05) if number > 3 else None
    events = guard.stream(asking(OLD, on_error=OnError.OPEN))
    next(event for event in events if isinstance(event, Delta))
    events.close()
    eventually(lambda: api.gone == 1)


@pytest.mark.parametrize(
    ("odd", "code", "said"),
    [
        (refusal(401), ErrorCode.FAILED_PRECONDITION, "refuses the key; set OPENAI_API_KEY"),
        (refusal(403), ErrorCode.FAILED_PRECONDITION, "does not let this key use double"),
        (refusal(404), ErrorCode.FAILED_PRECONDITION, "knows no model 'double'; it serves double"),
        (refusal(400, "no such thing"), ErrorCode.FAILED_PRECONDITION, "refuses the call"),
        (refusal(429, code="insufficient_quota"), ErrorCode.FAILED_PRECONDITION, "the quota is used up"),
        (refusal(429, retry_after="70"), ErrorCode.RESOURCE_EXHAUSTED, "ask again in 70 s"),
        (refusal(503), ErrorCode.UNAVAILABLE, "failed (503: Error code: 503"),
        (chat_api.Refusal(200, b"<html>hello</html>", {"Content-Type": "text/html"}), ErrorCode.INTERNAL, "base_url"),
        (chat_api.Refusal(200, b"data: {cut\n\n", {}), ErrorCode.INTERNAL, "no chat completion"),
        (chat_api.Refusal(200, b'data: {"choices": 7}\n\n', {}), ErrorCode.INTERNAL, "no chat completion"),
        (chat_api.Refusal(200, b'data: {"choices": []}\n\n', {}), ErrorCode.UNAVAILABLE, "without saying why"),
        (chat_api.Refusal(200, b'data: {"error": {"message": "oom"}}\n\n', {}), ErrorCode.UNAVAILABLE, "oom"),
    ],
)
def test_failures_of_the_api_say_what_to_do(api, registry, odd, code, said):
    with guarding(api, registry, retries=0) as guard:
        api.odd = lambda number, message: odd if number >= TRIAL_AND else None
        with pytest.raises(EngineError) as caught:
            guard.answer(asking(OLD, NEW))
    assert (caught.value.code, caught.value.reason) == (code, Reason.ENGINE_FAILED)
    assert said in str(caught.value)
    assert caught.value.retry_after == (70.0 if "70" in said else None)


@pytest.mark.parametrize("message", ["This model's maximum context length is 4096 tokens.", "context_length_exceeded"])
def test_a_prompt_past_the_context_is_the_callers_to_shorten(api, registry, message):
    with guarding(api, registry) as guard:
        api.odd = lambda number, asked: refusal(400, message) if number >= TRIAL_AND else None
        with pytest.raises(InvalidRequest, match="send less text") as caught:
            guard.answer(asking(OLD, NEW))
    assert (caught.value.violations[0].field, caught.value.reason) == ("spans", Reason.PROMPT_TOO_LONG)


def test_a_failure_while_the_pair_is_asked_ends_the_request_and_is_no_verdict(api, registry):
    with guarding(api, registry, retries=0) as guard:
        api.odd = lambda number, message: refusal(503) if "Reply with one word" in message else None
        with pytest.raises(EngineError):
            guard.check(asking(OLD, NEW))


def test_calls_that_may_succeed_are_made_again(api, registry):
    with guarding(api, registry, retries=2) as guard:
        api.odd = lambda number, message: refusal(503, retry_after_ms="1") if number in (1, 2) else None
        assert guard.answer(asking(OLD, on_error=OnError.OPEN)).raw_answer
    assert len(api.calls) == 4


def test_nobody_waits_longer_than_the_deadline_allows(api, registry):
    with guarding(api, registry, retries=2) as guard:
        api.odd = lambda number, message: refusal(429, retry_after="20") if number >= TRIAL_AND else None
        started = time.monotonic()
        with pytest.raises(EngineError) as caught:
            guard.check(asking(OLD, NEW), stop=Stop(5.0))
    assert time.monotonic() - started < 4
    assert (caught.value.code, caught.value.retry_after) == (ErrorCode.RESOURCE_EXHAUSTED, 20.0)


@pytest.mark.parametrize(
    "asked", [{"retry_after_ms": "inf"}, {"retry_after_ms": "nan"}, {"retry_after": "9" * 30}], ids=str
)
def test_a_time_that_is_none_is_not_told(api, registry, asked):
    with guarding(api, registry, retries=0) as guard:
        api.odd = lambda number, message: refusal(429, **asked)
        with pytest.raises(EngineError, match="ask again later") as caught:
            guard.check(asking(OLD, NEW))
    assert caught.value.retry_after is None
    assert wire.to_status(caught.value).message == str(caught.value), "it can be sent"


def test_an_answer_that_breaks_off_is_no_answer(api, registry):
    def cut(message, number):
        if "Using all" in message and number == 4:
            raise OSError("cut")

    with guarding(api, registry, retries=2) as guard:
        api.before = cut
        with pytest.raises(EngineError, match="middle of an answer") as caught:
            guard.answer(asking(OLD, OLD))
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert len([message for message in api.messages if "Using all" in message]) == 1, "nothing is said twice"


def test_an_answer_that_a_filter_withholds_is_an_error(api, guard):
    api.finish = "content_filter"
    with pytest.raises(EngineError, match="its filter refuses these sources"):
        guard.check(asking(OLD, NEW))


def test_an_api_that_is_not_there_is_named(registry):
    with chat_api.serving() as gone:
        url = gone.url
    with pytest.raises(EngineError, match="is it running") as caught:
        load_guard(MODEL, engine="openai", options={"base_url": url, "retries": 0}, registry=registry)
    assert (caught.value.code, url in str(caught.value)) == (ErrorCode.UNAVAILABLE, True)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>hello</html>", "text/html"),
        (b'{"data": null}', "application/json"),
        (b'{"models": []}', "application/json"),
        (b"[]", "application/json"),
    ],
)
def test_a_page_in_place_of_the_list_of_models_is_no_answer_that_broke_off(api, registry, body, kind):
    api.listing = chat_api.Refusal(200, body, {"Content-Type": kind})
    with guarding(api, registry) as guard:
        guard.check(asking(OLD, NEW))
    api.odd = lambda number, message: api.listing
    with pytest.raises(EngineError, match="does base_url lead to an API of chat completions") as caught:
        load_guard(MODEL, engine="openai", options={"base_url": api.url}, registry=registry)
    assert caught.value.code is ErrorCode.INTERNAL
    assert "object" not in str(caught.value), "no word of Python"


def test_a_silent_api_is_given_up(api, registry):
    with guarding(api, registry, retries=0, timeout=0.3) as guard:
        api.before = lambda message, number: api.closing.wait(3)
        with pytest.raises(EngineError, match="more time"):
            guard.check(asking(OLD, NEW))


def test_the_key_is_sent_and_never_told(api, registry, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    api.key = KEY
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with guarding(api, registry) as guard:
        guard.check(asking(OLD, NEW))
        assert set(api.keys) == {f"Bearer {KEY}"}
        api.key = "another"
        with pytest.raises(EngineError) as caught:
            guard.check(asking(OLD, NEW))
    assert "Incorrect API key provided: ***." in str(caught.value)
    assert KEY not in str(caught.value)
    assert KEY not in caplog.text


@pytest.mark.parametrize("key", ["sk-secret\n", " sk-secret", "sk-secret\u20ac"], ids=["line break", "space", "euro"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_told(api, registry, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(InvalidRequest, match="OPENAI_API_KEY: holds a space, a line break") as caught:
        load_guard(MODEL, engine="openai", options={"base_url": api.url}, registry=registry)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "said", "lacking"),
    [
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", ""),
        ("top_logprobs", "top_logprobs must be at most 5", ""),
        ("logprobs", "logprobs are not supported by this model", ""),
        ("temperature", "Unsupported value: 'temperature'", "greedy decoding"),
        ("stream_options", "unknown field stream_options", "token counts"),
    ],
)
def test_what_the_api_refuses_is_left_out_and_what_is_then_missing_is_said(api, registry, field, said, lacking):
    api.unknown = {field: said}
    with guarding(api, registry) as guard:
        response = guard.check(asking(OLD, NEW))
        assert response.verdict.decision is Decision.CONFLICT
        assert not any(field in call for call in api.calls[3:])
        assert any(lacking in warning for warning in response.warnings)
        if field == "temperature":
            with pytest.raises(InvalidRequest, match=r"decoding\.temperature"):
                guard.answer(asking(OLD, NEW, decoding=Decoding(temperature=0.7)))
        else:
            assert all(call["temperature"] == 0 for call in api.calls)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"base_url": "localhost:8000"}, "base_url"),
        ({"base_url": "http://me:secret@localhost/v1"}, "base_url"),
        ({"tensor_parallel_size": 2}, "tensor_parallel_size"),
        ({"timeout": "long"}, "timeout"),
        ({"concurrency": 0}, "concurrency"),
        ({"request": {"stream": False}}, "request"),
    ],
)
def test_a_wrong_option_is_refused_by_name(registry, options, field):
    with pytest.raises(InvalidRequest) as caught:
        load_guard(MODEL, engine="openai", options={"base_url": "http://localhost/v1", **options}, registry=registry)
    assert [violation.field for violation in caught.value.violations] == [field]
    assert "secret" not in str(caught.value)


def test_a_model_that_thinks_before_it_speaks_is_refused_with_what_to_do(api, registry):
    api.thinks = True
    with pytest.raises(EngineError, match="switch that off") as caught, guarding(api, registry):
        pass
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION


def test_an_engine_that_is_closed_ends_what_runs_on_it(api, registry):
    guard = load_guard(MODEL, engine="openai", options={"base_url": api.url}, registry=registry)
    api.before = lambda message, number: api.closing.wait(0.05)
    api.reply = lambda message: "word " * 200
    closing = threading.Timer(0.3, guard.backend.close)
    closing.start()
    with pytest.raises(EngineError, match="closed"):
        guard.answer(asking(OLD, NEW))
    closing.join()
