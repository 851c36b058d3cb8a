"""The HTTP port, asked by the openai client as it is published, and by requests that no client would send."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import openai
import pytest
from starlette.requests import ClientDisconnect

from tests import scripted
from tests.scripted import (
    REQUEST,
    VERDICT,
    WORDS,
    Serving,
    blocked,
    eventually,
    raising,
    scrape,
    serving,
)
from tests.serving.test_tls import CLIENT, Party, files
from xmguard import wire
from xmguard.errors import ErrorCode, FieldViolation, InvalidRequest, Reason, SetupIncomplete, XmguardError
from xmguard.request import AnswerRequest, Decoding, OnConflict, Rebalance
from xmguard.response import AnswerResponse, Done, FinishReason
from xmguard.span import Media, Span
from xmguard_server.errors import CODES
from xmguard_server.http.attended import Attended
from xmguard_server.trace_context import Untraced

PNG = b"\x89PNG\r\n\x1a\n and more"
QUESTION = [{"role": "user", "content": REQUEST.question}]
SPANS = {"xmguard": {"spans": [{"id": "s1", "text": "It rose by 25%."}, {"id": "s2", "text": "Subió un 15 %."}]}}


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving(http_port=0) as running:
        yield running


@pytest.fixture(autouse=True)
def ordinary(served: Serving) -> None:
    served.guard.script = scripted.ordinary
    served.guard.calls.clear()


@pytest.fixture
def client(served: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.http_url}/v1", api_key="none", max_retries=0) as made:
        yield made


def post(served: Serving, body: object, **headers: str) -> tuple[int, dict[str, str], dict]:
    """Status, headers and JSON of what a raw request is told."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"content-type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
    request = urllib.request.Request(f"{served.http_url}/v1/chat/completions", data, given)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, dict(response.headers), json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), json.load(error)


# -- answers -----------------------------------------------------------------------------------------------------------


def test_parts_of_the_message_become_spans_and_the_plain_text_the_question(served: Serving, client: openai.OpenAI):
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    parts = [
        {"type": "text", "text": "It rose by 25%.", "xmguard": {"span": "a", "language": "en", "source": "news"}},
        {"type": "text", "text": "Subió un 15 %.", "xmguard": {}},
        {"type": "image_url", "image_url": {"url": url}, "xmguard": {"source": "photo"}},
        {"type": "image_url", "image_url": {"url": url, "detail": "auto"}},
        {"type": "text", "text": "By how much?"},
    ]
    completion = client.chat.completions.create(
        model="scripted",
        messages=[{"role": "user", "content": parts}],
        max_completion_tokens=9,
        temperature=0.5,
        seed=2**64 - 1,
        n=1,
        stop=[],
        logprobs=False,
        extra_body={
            "xmguard": {
                "rebalance": {"policy": "fixed", "bias": {"a": "-Infinity"}},
                "on_conflict": "ON_CONFLICT_PLAIN",
            }
        },
    )
    assert served.guard.calls[0][0] == AnswerRequest(
        model="scripted",
        spans=(
            Span(id="a", text="It rose by 25%.", language="en", source="news"),
            Span(text="Subió un 15 %."),
            Span(media=Media("image/png", PNG), source="photo"),
            Span(media=Media("image/png", PNG)),
        ),
        question="By how much?",
        rebalance=Rebalance(policy="fixed", bias={"a": float("-inf")}),
        on_conflict=OnConflict.PLAIN,
        decoding=Decoding(9, 0.5, 2**64 - 1),
    )
    assert completion.choices[0].message.content == "".join(WORDS)
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == 43


def test_spans_can_be_given_beside_the_messages(served: Serving, client: openai.OpenAI):
    completion = client.chat.completions.create(model="", messages=QUESTION, extra_body=SPANS, user="me")
    assert [span.text for span in served.guard.calls[0][0].spans] == ["It rose by 25%.", "Subió un 15 %."]
    response = wire.from_json(AnswerResponse, json.dumps(completion.xmguard))
    assert response.verdict == VERDICT
    assert [span.share_before for span in response.spans] == [0.3, 0.3]
    assert response.imbalance.log_ratio_before == 2.0
    assert response.warnings == ("user: accepted, and without effect",)
    assert completion.model == "scripted"


def test_the_verdict_streams_before_the_first_word_is_decoded(served: Serving, client: openai.OpenAI):
    release = threading.Event()
    served.guard.script = blocked(release)
    stream = client.chat.completions.create(
        model="scripted", messages=QUESTION, extra_body=SPANS, stream=True, stream_options={"include_usage": True}
    )
    started, verdict = next(stream), next(stream)  # while the guard waits for `release`
    assert (started.choices[0].delta.role, len(started.xmguard["spans"])) == ("assistant", 2)
    assert wire.from_json(AnswerResponse, json.dumps(verdict.xmguard)).verdict == VERDICT
    release.set()
    *deltas, last, usage = stream
    assert tuple(chunk.choices[0].delta.content for chunk in deltas) == WORDS
    assert last.choices[0].finish_reason == "stop"
    assert wire.from_json(AnswerResponse, json.dumps(last.xmguard)).answer == "".join(WORDS)
    assert (usage.choices, usage.usage.completion_tokens) == ([], 3)


async def test_the_async_client_does_the_same(served: Serving):
    async with openai.AsyncOpenAI(base_url=f"{served.http_url}/v1", api_key="none", max_retries=0) as client:
        whole = await client.chat.completions.create(model="scripted", messages=QUESTION, extra_body=SPANS)
        stream = await client.chat.completions.create(
            model="scripted", messages=QUESTION, extra_body=SPANS, stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].xmguard == whole.xmguard
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content


def test_an_answer_that_is_withheld_says_so(served: Serving, client: openai.OpenAI):
    def withheld(request, stop):
        *before, done = scripted.ordinary(request, stop)
        yield from before
        yield Done(replace(done.response, finish_reason=FinishReason.CLOSED))

    served.guard.script = withheld
    completion = client.chat.completions.create(model="scripted", messages=QUESTION, extra_body=SPANS)
    assert completion.choices[0].finish_reason == "content_filter"
    assert completion.xmguard["finishReason"] == "FINISH_REASON_CLOSED"


def test_models_are_listed_and_found(client: openai.OpenAI):
    (listed,) = client.models.list().data
    assert (listed.id, listed.xmguard["limits"]["maxSpans"]) == ("scripted", 64)
    assert client.models.retrieve("scripted") == listed
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("owner/another")
    assert caught.value.code == "MODEL_NOT_FOUND"


def test_the_callers_request_id_and_timeout_reach_the_guard(served: Serving, client: openai.OpenAI):
    for sent, kept in (("trace-1", True), ("bad id", False)):
        raw = client.chat.completions.with_raw_response.create(
            model="scripted", messages=QUESTION, extra_body=SPANS, extra_headers={"x-request-id": sent}
        )
        assert raw.headers["x-request-id"] == served.guard.calls[-1][2]
        assert (raw.headers["x-request-id"] == sent) is kept
    served.guard.script = blocked(threading.Event())
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(
            model="scripted", messages=QUESTION, extra_body=SPANS, extra_headers={"x-request-timeout": "0.2"}
        )
    assert (caught.value.status_code, caught.value.code) == (504, "DEADLINE_EXCEEDED")
    assert post(served, {"messages": QUESTION}, x_request_timeout="nan")[2]["error"]["param"] == "x-request-timeout"


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_its_status_before_and_in_a_stream(served: Serving, client: openai.OpenAI, code: ErrorCode):
    served.guard.script = raising(XmguardError("what to do", code=code, reason=Reason.PLUGIN_FAILED, retry_after=1.2))
    for stream in (False, True):  # nothing was answered yet, so that a stream has a status too
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="scripted", messages=QUESTION, extra_body=SPANS, stream=stream)
        assert (caught.value.status_code, caught.value.code) == (CODES[code].http, "PLUGIN_FAILED")
        assert caught.value.body["message"] == "what to do"
        assert caught.value.response.headers["retry-after"] == "2"
        assert caught.value.response.headers["x-should-retry"] == "true"


def test_a_request_that_may_have_broken_its_worker_is_not_to_be_sent_again(served: Serving, client: openai.OpenAI):
    lost = XmguardError("lost", code=ErrorCode.UNAVAILABLE, reason=Reason.WORKER_LOST, retry_after=1.0)
    served.guard.script = raising(lost)
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="scripted", messages=QUESTION, extra_body=SPANS)
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_an_error_in_a_stream_is_its_last_event(served: Serving, client: openai.OpenAI):
    def broken(request, stop):
        yield from list(scripted.ordinary(request, stop))[:3]
        raise RuntimeError("KeyError: 'secret'")

    served.guard.script = broken
    stream = client.chat.completions.create(model="scripted", messages=QUESTION, extra_body=SPANS, stream=True)
    with pytest.raises(openai.APIError, match="internal error") as caught:
        list(stream)
    assert caught.value.code == "INTERNAL"
    assert "secret" not in str(caught.value.body)
    page = scrape(served.metrics_url)
    assert 'xmguard_requests_total{code="INTERNAL",method="ChatCompletions"}' in page


def test_violations_keep_their_paths(served: Serving, client: openai.OpenAI):
    violations = [FieldViolation("spans[1].text", "is empty"), FieldViolation("question", "is empty")]
    served.guard.script = raising(InvalidRequest(violations))
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="scripted", messages=QUESTION, extra_body=SPANS)
    assert caught.value.param == "spans[1].text"
    assert [found["field"] for found in caught.value.body["violations"]] == ["spans[1].text", "question"]
    assert caught.value.response.headers["x-should-retry"] == "false"


REFUSED = [
    ({"n": 2}, "n"),
    ({"tools": [{}]}, "tools"),
    ({"stop": "\n"}, "stop"),
    ({"logprobs": True}, "logprobs"),
    ({"n": True}, "n"),
    ({"top_p": 0.9}, "top_p"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"invented": 1}, "invented"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
    ({"max_tokens": "many"}, "decoding.max_tokens"),
    ({"temperature": "hot"}, "decoding.temperature"),
    ({"seed": -1}, "decoding.seed"),
    ({"model": 7}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [7]}, "messages[0]"),
    ({"messages": [{"role": "system", "content": "x"}, *QUESTION]}, "messages[0]"),
    ({"messages": [*QUESTION, *QUESTION]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages[0].name"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ({"xmguard": []}, "xmguard"),
    ({"xmguard": {"question": "q"}}, "xmguard.question"),
    ({"xmguard": {"decoding": {}}}, "xmguard.decoding"),
    ({"xmguard": {"invented": 1}}, "invented"),
    ({"xmguard": {"spans": [{"text": "\ud800"}]}}, "spans[0].text"),
    ({"xmguard": {"rebalance": {"bias": {"a": "much"}}}}, 'rebalance.bias["a"]'),
]


@pytest.mark.parametrize(("change", "field"), REFUSED, ids=lambda value: json.dumps(value)[:40])
def test_what_has_no_meaning_here_is_refused_by_name(served: Serving, change: dict, field: str):
    status, _, told = post(served, {"messages": QUESTION} | change)
    assert (status, told["error"]["param"], told["error"]["type"]) == (400, field, "invalid_request_error")
    assert served.guard.calls == []


PARTS = [
    ({"type": "input_audio"}, ""),
    ("text", ""),
    ({"type": "text", "text": 7}, ".text"),
    ({"type": "text", "text": "x", "size": 1}, ".size"),
    ({"type": "text", "text": "x", "xmguard": {"id": "s1"}}, ".xmguard"),
    ({"type": "image_url", "image_url": "x"}, ".image_url"),
    ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, ".image_url.url"),
    ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, ".image_url.url"),
    ({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}, ".image_url.url"),
    ({"type": "image_url", "image_url": {"url": "data:image/png;base64,", "detail": "low"}}, ".image_url.detail"),
    ({"type": "text", "text": "a second question"}, ""),
]


@pytest.mark.parametrize(("part", "field"), PARTS, ids=lambda value: json.dumps(value)[:60])
def test_a_part_that_is_neither_span_nor_question_is_refused(served: Serving, part: object, field: str):
    content = [{"type": "text", "text": "By how much?"}, part]
    status, _, told = post(served, {"messages": [{"role": "user", "content": content}]})
    assert (status, told["error"]["param"]) == (400, f"messages[0].content[1]{field}")
    assert served.guard.calls == []


def test_spans_come_one_way_or_the_other(served: Serving):
    content = [{"type": "text", "text": "x", "xmguard": {}}, {"type": "text", "text": "q?"}]
    told = post(served, {"messages": [{"role": "user", "content": content}], **SPANS})[2]
    assert told["error"]["param"] == "xmguard.spans"


def test_a_damaged_picture_is_named_as_over_grpc(served: Serving):
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,@@"}}
    told = post(served, {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "q?"}]}]})[2]
    assert told["error"]["param"] == "spans[0].media.data"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"n": 1, "n": 1}', b"[" * 100_000], ids=repr)
def test_a_body_that_is_no_request_is_a_400(served: Serving, body: bytes):
    status, _, told = post(served, body)
    assert (status, told["error"]["param"]) == (400, "request")


@pytest.mark.parametrize("key", ["k" * 1_000_000, "\ud800", "it's"], ids=["long", "surrogate", "quote"])
def test_a_key_that_means_nothing_is_told_back_as_json_and_not_at_length(served: Serving, key: str):
    message = QUESTION[0] | {key: 1}
    part = {"type": "text", "text": "x", key: 1}
    for body in (
        {"messages": QUESTION, key: 1},
        {"messages": [message]},
        {"messages": [{"role": "user", "content": [part]}]},
        {"messages": QUESTION, "xmguard": {key: 1}},
        {"messages": QUESTION, "xmguard": {"rebalance": {"bias": {key: "x"}}}},
        {"messages": QUESTION, "xmguard": {"rebalance": {"parameters": {key: "x"}}}},
    ):
        status, _, told = post(served, body)
        assert (status, told["error"]["code"]) == (400, "REQUEST_INVALID")
        assert told["error"]["param"].endswith('["k' + "k" * 79 + '…"]' if len(key) > 9 else f"[{json.dumps(key)}]")
        assert len(json.dumps(told)) < 2000
    status, _, told = post(served, f"{{{json.dumps(key)}: 1, {json.dumps(key)}: 1}}".encode())
    assert (status, told["error"]["param"]) == (400, "request")
    assert len(json.dumps(told)) < 2000
    assert served.guard.calls == []


def test_a_form_that_a_page_could_send_unasked_is_refused(served: Serving):
    status, headers, told = post(served, {"messages": QUESTION}, content_type="text/plain")
    assert (status, told["error"]["param"]) == (400, "content-type")
    assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/v1/chat/completions"), ("DELETE", "/v1/models")])
def test_other_paths_and_methods_are_not_found(served: Serving, method: str, path: str):
    request = urllib.request.Request(served.http_url + path, method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as error:
        assert error.code == 404
        assert "/v1/chat/completions" in json.load(error)["error"]["message"]
        assert error.headers["x-request-id"]


def test_a_body_above_the_limit_is_refused_whether_its_length_is_told_or_not():
    with serving(http_port=0, max_message_bytes=1000) as small:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        for rest in (
            b"content-length: 1001\r\n\r\n",
            b"transfer-encoding: chunked\r\n\r\n3e9\r\n" + b" " * 1001 + b"\r\n",
        ):
            with socket.create_connection(("127.0.0.1", int(small.http_url.rpartition(":")[2])), 10) as connection:
                connection.sendall(head + rest)
                told = b""
                while b"REQUEST_TOO_LARGE" not in told and (more := connection.recv(4096)):
                    told += more
            assert told.startswith(b"HTTP/1.1 413 ")
            assert b"REQUEST_TOO_LARGE" in told


# -- callers that leave, and the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_leaves_stops_the_guard(served: Serving, stream: bool):
    served.guard.script = blocked(threading.Event())
    closed = served.guard.closed
    body = json.dumps({"messages": QUESTION, "stream": stream, **SPANS}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}"
    )
    with socket.create_connection(("127.0.0.1", int(served.http_url.rpartition(":")[2])), 10) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        eventually(lambda: len(served.guard.calls) == 1)
        if stream:
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    eventually(lambda: served.guard.closed == closed + 1)
    eventually(lambda: "xmguard_requests_running 0.0" in scrape(served.metrics_url))
    eventually(
        lambda: 'xmguard_requests_total{code="CANCELLED",method="ChatCompletions"}' in scrape(served.metrics_url)
    )


async def test_a_caller_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch, served: Serving):
    monkeypatch.setattr("xmguard_server.http.presence.SEND_SECONDS", 0.05)
    closed = asyncio.Event()
    requests = [{"type": "http.request", "body": b"", "more_body": False}]

    async def talkative(scope, receive, send):
        try:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        finally:
            closed.set()

    async def receive():
        return requests.pop() if requests else await asyncio.sleep(60)

    async def stalled(message):
        await asyncio.sleep(60)

    attended = Attended(talkative, served.metrics, Untraced())
    with pytest.raises(ClientDisconnect):
        await asyncio.wait_for(attended({"type": "http"}, receive, stalled), 5)
    assert closed.is_set()
    await asyncio.wait_for(attended.idle(), 1)


def test_stopping_refuses_the_new_and_finishes_the_old():
    release = threading.Event()
    with (
        serving(blocked(release), http_port=0) as stopping,
        openai.OpenAI(base_url=f"{stopping.http_url}/v1", api_key="none", max_retries=0) as client,
    ):
        stream = client.chat.completions.create(model="scripted", messages=QUESTION, extra_body=SPANS, stream=True)
        next(stream)
        stopping.begin_stop()

        def refused() -> bool:
            try:
                client.chat.completions.create(model="scripted", messages=QUESTION, extra_body=SPANS, timeout=0.5)
            except openai.InternalServerError as error:
                return (error.status_code, error.code) == (503, "SHUTTING_DOWN")
            except openai.APITimeoutError:
                return False
            return False

        eventually(refused)
        release.set()
        assert list(stream)[-1].choices[0].finish_reason == "stop"


def test_it_answers_503_until_the_model_is_loaded():
    release = threading.Event()

    def load() -> scripted.ScriptedGuard:
        assert release.wait(20)
        return scripted.ScriptedGuard()

    with (
        serving(load=load, http_port=0) as loading,
        openai.OpenAI(base_url=f"{loading.http_url}/v1", api_key="none", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            client.models.list()
        assert (caught.value.status_code, caught.value.code) == (503, "MODEL_LOADING")
        assert caught.value.response.headers["retry-after"] == "1"
        assert caught.value.response.headers["x-should-retry"] == "true"
        release.set()
        assert loading.loaded.wait(5)
        assert client.models.list().data[0].id == "scripted"


def test_a_port_that_is_taken_is_said_so(served: Serving):
    port = int(served.http_url.rpartition(":")[2])
    with pytest.raises(SetupIncomplete, match="--http-port"), serving(http_port=port):
        pass


def test_tls_and_the_names_in_certificates_hold_here_too(tmp_path: Path):
    ours, theirs = Party(tmp_path / "server", ["127.0.0.1"]), Party(tmp_path / "client", [CLIENT])
    with serving(http_port=0, tls=files(ours, theirs)) as served:
        trusting = ssl.create_default_context(cafile=ours.root)
        with httpx2.Client(verify=trusting) as stranger, pytest.raises(httpx2.TransportError):
            stranger.get(f"{served.http_url}/v1/models")
        trusting.load_cert_chain(theirs.certificate, theirs.key)
        with httpx2.Client(verify=trusting) as known:
            assert known.get(f"{served.http_url}/v1/models").json()["data"][0]["id"] == "scripted"
