"""The guard over an API of chat completions: what is checked, what is absent, and what is said of it."""

from __future__ import annotations

import io
import logging
import threading
import time
from base64 import b64decode
from contextlib import contextmanager
from dataclasses import replace

import pytest

from tests import chat_api
from tests.chat_api import MODEL, SAID, eventually, refusal
from xmguard.deadline import Stop
from xmguard.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineError,
    ErrorCode,
    InvalidRequest,
    ModalityNotSupported,
    ModelRefused,
    Reason,
)
from xmguard.hookspecs import hookimpl
from xmguard.loading import load_guard
from xmguard.parts import ImagePart
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest, Decoding, Detail, OnConflict, OnError, Prompt, Rebalance
from xmguard.response import ConflictVerdict, Decision, Delta, Done, FinishReason, Started, Status
from xmguard.span import Media, Span

OLD, NEW = "The bridge opened in 1912.", "It opened in 1931, they say."
KEY = "sk-a-very-secret-key"


def asking(*texts: str, **fields: object) -> AnswerRequest:
    spans = tuple(Span(id=f"s{number}", text=text, language="en") for number, text in enumerate(texts, 1))
    return AnswerRequest(spans=spans, question="When did the bridge open?", **fields)


@pytest.fixture
def api():
    with chat_api.serving() as server:
        yield server


@contextmanager
def guarding(api, registry, **options):
    guard = load_guard(MODEL, engine="openai", options={"base_url": api.url, **options}, registry=registry)
    try:
        yield guard
    finally:
        guard.backend.close()


@pytest.fixture
def guard(api, registry):
    with guarding(api, registry) as loaded:
        yield loaded


def test_a_conflict_is_found_by_asking_each_span_alone_and_the_pair(api, guard):
    events = list(guard.stream(asking(OLD, NEW)))
    started, verdict, *deltas, done = events
    assert isinstance(started, Started)
    assert isinstance(verdict, ConflictVerdict)
    assert all(isinstance(delta, Delta) for delta in deltas)
    assert isinstance(done, Done)
    assert (verdict.decision, verdict.status, verdict.calibrated) == (Decision.CONFLICT, Status.OK, False)
    assert "s1 says “1912” but s2 says “1931”" in verdict.reason
    response = done.response
    assert response.answer == "".join(delta.text for delta in deltas)
    assert response.answer.startswith("The sources disagree: s1 says “1912”; s2 says “1931”.")
    assert response.raw_answer.startswith("By the first of 2 sources it is 1912")
    assert response.finish_reason is FinishReason.STOP
    alone = [message for message in api.messages if message.endswith("Short answer:")]
    assert sorted((OLD in message, NEW in message) for message in alone) == [(False, True), (True, False)]
    both = [message for message in api.messages if OLD in message and NEW in message]
    assert len(both) == 3, "the joint answer, and the pair in both orders"


def test_the_verdict_says_what_it_rests_on(guard):
    for texts in ((OLD, NEW), (OLD, "The bridge opened in 1912, in May."), (OLD, "A bridge.")):
        verdict = guard.check(asking(*texts)).verdict
        assert verdict.reason.endswith("the model's own word on each pair, as nothing could be scored.")
    assert guard.describe().calibration.startswith("not calibrated: judged by what the answers claim")


@pytest.mark.parametrize(
    ("texts", "decision"),
    [
        ((OLD, "The new bridge opened in 1912."), Decision.CONSISTENT),
        ((OLD, NEW, OLD), Decision.CONFLICT),
        ((OLD, "It is a bridge."), Decision.UNDETERMINED),
        (("It is named Alba.", "It is named Brava."), Decision.CONFLICT),
    ],
)
def test_decisions(guard, texts, decision):
    assert guard.check(asking(*texts)).verdict.decision is decision


def test_words_that_nobody_can_compare_are_undetermined_and_never_agreement(api, registry):
    api.reply = lambda message: "hm" if "Reply with one word" in message else chat_api.answer(message)
    with guarding(api, registry) as guard:
        response = guard.answer(asking("It is named Alba.", "It is named Brava."))
    assert response.verdict.decision is Decision.UNDETERMINED
    assert response.finish_reason is FinishReason.CLOSED
    assert not response.raw_answer


def test_equal_claims_that_the_model_calls_a_conflict_are_undetermined(api, registry):
    api.reply = lambda message: "Conflict." if "Reply with one word" in message else chat_api.answer(message)
    with guarding(api, registry) as guard:
        assert guard.check(asking(OLD, OLD)).verdict.decision is Decision.UNDETERMINED


def test_without_log_probabilities_the_words_alone_decide(api, registry):
    api.logprobs = False
    with guarding(api, registry) as guard:
        assert guard.check(asking("It is named Alba.", "It is named Brava.")).verdict.decision is Decision.CONFLICT
        assert not any("logprobs" in call for call in api.calls[1:]), "what is not given is not asked for again"
        evidence = guard.evidence(asking(OLD, NEW))
    assert [span.own for span in evidence.spans] == [(), ()]


def test_log_probabilities_are_those_that_the_api_tells(api, registry):
    api.pieces = lambda said: [said[start : start + 2] for start in range(0, len(said), 2)]
    with guarding(api, registry) as guard:
        first, second = guard.evidence(asking(OLD, NEW)).spans
    assert (first.answer, second.answer) == ("1912", "1931")
    assert first.own == (SAID, SAID)
    assert first.tokens == ("19", "12")
    assert (first.entropy, first.prior, first.under) == (None, (), {})


def test_contributions_are_absent_and_the_response_says_why(guard):
    response = guard.answer(asking(OLD, NEW, detail=Detail(layers=True, toward_answer=True, unbiased_answer=True)))
    for span in response.spans:
        known = {name for name, value in vars(span).items() if value not in (None, "", (), 0)}
        assert known == {"span_id", "modality", "language"}
    assert not any(vars(response.imbalance).values())
    assert not response.rebalancing.applied
    assert "nothing can be measured: an API of chat completions" in response.rebalancing.reason
    assert any("openai: no contributions, rebalancing, likelihoods, entropies" in each for each in response.warnings)
    assert any("no quotes" in each for each in response.warnings)
    assert response.unbiased_answer == response.raw_answer
    assert (response.served_by.engine, response.served_by.model_hash) == ("openai", "")


@pytest.mark.parametrize("policy", ["fixed", "target", "floor", "soften"])
def test_rebalancing_is_refused_with_the_reason(guard, policy):
    with pytest.raises(InvalidRequest) as caught:
        guard.answer(asking(OLD, NEW, rebalance=Rebalance(policy)))
    (violation,) = caught.value.violations
    assert violation.field == "rebalance.policy"
    assert "cannot be steered: an API of chat completions hands out" in violation.description
    assert 'send "none"' in violation.description
    assert guard.check(asking(OLD, NEW, rebalance=Rebalance("none"))).verdict.status is Status.OK
    assert [known.name for known in guard.describe().policies] == ["none"]


def test_what_needs_the_models_inside_is_refused(api, registry, guard, tmp_path):
    with pytest.raises(ModelRefused, match="nothing to explain it by"):
        guard.explain(asking(OLD, NEW))
    (tmp_path / "xmguard.json").write_text(
        '{"profile": {"name": "p", "rebalance": {"policy": "none", "parameters": {}}}}'
    )
    with pytest.raises(ModelRefused, match="engine openai can follow none"):
        load_guard(MODEL, engine="openai", options={"base_url": api.url}, registry=registry, profile=tmp_path)
    session = guard.backend.open(guard.prepare(asking(OLD)).prompt, Stop())
    for method, arguments in (("measure", 1), ("generated", 1), ("score", 1), ("recut", 1), ("directed", 2)):
        with pytest.raises(NotImplementedError):
            getattr(session, method)(*[None] * arguments)


def test_words_are_shown_as_they_come_and_the_verdict_before_them(api, guard):
    wait = threading.Event()
    shown = []
    api.before = lambda message, number: wait.wait(5) if "Using all" in message and number == 6 else None
    for event in guard.stream(asking(OLD, OLD)):
        shown.append(event)
        if len(shown) == 5:
            wait.set()
    assert isinstance(shown[1], ConflictVerdict)
    assert [delta.text for delta in shown[2:5]] == ["By", " the", " first"]


def test_usage_is_what_the_api_counts(api, guard):
    response = guard.answer(asking(OLD, NEW))
    joint = next(message for message in api.messages if "Using all" in message)
    others = [message for message in api.messages if message != joint]
    said = sum(len(chat_api.answer(message).split()) for message in others)
    assert response.usage.prompt_tokens == len(joint.split())
    assert response.usage.completion_tokens == len(response.raw_answer.split())
    assert response.usage.evidence_tokens == sum(len(message.split()) for message in others) + said
    assert guard.check(asking(OLD, NEW)).usage.completion_tokens == 0


def test_what_it_takes_is_within_what_was_said_it_would_cost(guard):
    ready = guard.prepare(asking(OLD, NEW))
    usage = guard.answer(ready).usage
    assert usage.prompt_tokens + usage.completion_tokens + usage.evidence_tokens <= ready.cost


def test_an_answer_alone_is_one_line_and_an_answer_that_is_cut_says_so(api, registry):
    api.reply = lambda message: f"\n{chat_api.answer(message)}\nBecause it says so."
    api.pieces = lambda said: [said]
    with guarding(api, registry) as guard:
        request = asking(OLD, NEW, detail=Detail(alone_answers=True), decoding=Decoding(max_tokens=7))
        assert [span.answer_alone for span in guard.check(request).spans] == ["1912", "1931"]
    api.reply, api.pieces = chat_api.answer, str.split
    with guarding(api, registry) as guard:
        response = guard.answer(asking(OLD, NEW, on_conflict=OnConflict.PLAIN, decoding=Decoding(max_tokens=3)))
    assert response.finish_reason is FinishReason.LENGTH
    assert response.raw_answer == "Bythefirst"


def test_an_explicit_prompt_is_asked_as_such(api, guard):
    guard.answer(asking(OLD, NEW, prompt=Prompt.EXPLICIT, on_error=OnError.OPEN))
    assert any("Would each of the sources above lead to the same answer" in message for message in api.messages)


def test_requests_that_differ_in_their_prompt_are_answered_together(api, guard):
    first, second = guard.answers([asking(OLD, NEW, prompt=prompt) for prompt in (Prompt.STANDARD, Prompt.INSTRUCTED)])
    assert first.verdict.decision is second.verdict.decision is Decision.CONFLICT
    assert len([message for message in api.messages if message.endswith("Short answer:")]) == 2
    assert first.usage.prompt_tokens > 0


@pytest.mark.parametrize("ends", ["deadline", "cancel"])
def test_a_request_ends_on_time_and_its_calls_with_it(api, guard, ends):
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


TRIAL_AND = 1
"""Number of the first call after the trial."""


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


def test_temperature_and_seed_are_the_joint_answers(api, guard):
    guard.answer(asking(OLD, NEW, decoding=Decoding(max_tokens=5, temperature=0.7, seed=2**64 - 1)))
    (joint,) = [call for call in api.calls if "Using all" in call["messages"][0]["content"]]
    assert (joint["temperature"], joint["seed"], joint["max_tokens"]) == (0.7, 2**63 - 1, 5)
    assert all("seed" not in call and call["temperature"] == 0 for call in api.calls if call is not joint)


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


def test_further_fields_go_into_every_call(api, registry):
    with guarding(api, registry, request={"reasoning_effort": "none"}) as guard:
        guard.check(asking(OLD, NEW))
    assert {call["reasoning_effort"] for call in api.calls} == {"none"}


def test_the_context_length_is_the_apis_or_the_callers(api, registry, guard):
    assert guard.describe().limits.max_prompt_tokens == chat_api.LENGTH - 1
    with guarding(api, registry, context_length=100) as short, pytest.raises(InvalidRequest) as caught:
        short.check(asking("word " * 2000))
    assert caught.value.reason is Reason.PROMPT_TOO_LONG


def test_a_context_length_that_nobody_tells_is_the_apis_to_keep(api, registry):
    api.length = None
    with guarding(api, registry) as guard:
        assert guard.describe().limits.max_prompt_tokens == 0
        long = asking(OLD, f"{NEW} {'word ' * 100_000}")
        assert guard.check(long).verdict.decision is Decision.CONFLICT


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


RGB = bytes(range(0, 240, 10))


class Raw:
    """Brings a modality: eight pixels as they are."""

    name = "raw"
    media_types = ("image/x-raw",)

    def parts(self, span):
        return [ImagePart(4, 2, span.span.media.data)]

    @hookimpl
    def xmguard_modalities(self):
        return [self]


def test_pictures_are_sent_to_a_model_that_reads_them_and_refused_for_another(api):
    from PIL import Image

    request = replace(asking(OLD), spans=(Span(id="p", media=Media("image/x-raw", RGB)), *asking(OLD).spans))
    pictures = load_plugins(extra={"raw": Raw()})
    with guarding(api, pictures) as blind, pytest.raises(ModalityNotSupported, match=r"spans\[0\]\.media"):
        blind.check(request)
    with guarding(api, pictures, pictures=True) as seeing:
        seeing.check(request)
    shown = [message for message in api.messages if not isinstance(message, str)]
    assert len(shown) == 1, "alone, the text is read without the picture"
    head, data = next(part for part in shown[0] if part["type"] == "image_url")["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(b64decode(data))) as sent:
        assert (sent.size, sent.mode, sent.tobytes()) == ((4, 2), "RGB", RGB)
