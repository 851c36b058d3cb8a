"""The real server and the real client, around a guard that follows a script."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2

from tests.scripted import (
    REQUEST,
    VERDICT,
    WORDS,
    blocked,
    call_raw,
    details,
    health,
    raising,
    serving,
)
from xmguard import wire
from xmguard.client import AsyncClient, Client
from xmguard.errors import (
    ErrorCode,
    FieldViolation,
    InvalidRequest,
    ModelNotFound,
    Reason,
    XmguardError,
)
from xmguard.request import AnswerRequest, Rebalance
from xmguard.response import ConflictVerdict, Delta, Done, Started
from xmguard.span import Media, Span

SERVING = health_pb2.HealthCheckResponse.SERVING


# -- answers -----------------------------------------------------------------------------------------------------------


def test_a_stream_is_started_verdict_deltas_done() -> None:
    with serving() as served, Client(served.address) as client:
        events = list(client.stream(REQUEST))
    assert [type(event) for event in events] == [Started, ConflictVerdict, Delta, Delta, Delta, Done]
    assert events[1] == VERDICT
    assert "".join(event.text for event in events if isinstance(event, Delta)) == events[-1].response.answer


def test_the_verdict_arrives_before_the_first_word_is_decoded() -> None:
    release = threading.Event()
    with serving(blocked(release)) as served, Client(served.address) as client:
        stream = client.stream(REQUEST)
        assert isinstance(next(stream), Started)
        assert next(stream) == VERDICT  # while the guard waits for `release`
        release.set()
        assert isinstance(next(stream), Delta)
        assert isinstance(list(stream)[-1], Done)


def test_photos_go_through_whole() -> None:
    photos = tuple(Span(media=Media("image/jpeg", bytes([k]) * 3_000_000)) for k in range(8))
    with serving() as served, Client(served.address) as client:
        client.answer(spans=photos, question="q?")
        client.check(spans=photos, question="q?")
    assert [call[0].spans for call in served.guard.calls] == [photos, photos]


def test_answer_and_check_carry_the_request_whole() -> None:
    request = AnswerRequest(
        spans=(Span(id="a", media=Media("image/png", b"\x00\xff")), Span(id="b", text="汉字")),
        question="q?",
        rebalance=Rebalance(policy="fixed", bias={"a": float("-inf")}),
    )
    with serving() as served, Client(served.address) as client:
        assert client.answer(request).answer == "".join(WORDS)
        assert client.check(request).verdict == VERDICT
        assert client.model().model == "scripted"
        assert client.model().calibration == "not calibrated: scripted"
        assert [call[0] for call in served.guard.calls] == [request, request]


async def test_the_async_client_does_the_same() -> None:
    with serving() as served:
        async with AsyncClient(served.address) as client:
            events = [event async for event in client.stream(REQUEST)]
            assert (await client.answer(REQUEST)) == events[-1].response
            assert (await client.check(REQUEST)).verdict == VERDICT
            assert (await client.model("scripted")).engine == "script"
            with pytest.raises(ModelNotFound):
                await client.model("another")


def test_the_callers_request_id_reaches_the_guard_and_comes_back() -> None:
    with serving() as served, grpc.insecure_channel(served.address) as channel:
        for sent, returned in (("trace-1", "trace-1"), ("bad id", None)):
            stub = channel.unary_unary(wire.ANSWER.path)
            _, call = stub.with_call(wire.ANSWER.pack_request(REQUEST), metadata=(("x-request-id", sent),))
            got = dict(call.trailing_metadata())["x-request-id"]
            assert got == served.guard.calls[-1][2]
            assert got == returned or (returned is None and len(got) == 32)


# -- errors ------------------------------------------------------------------------------------------------------------


def test_violations_keep_their_paths() -> None:
    violations = [FieldViolation("spans[2].text", "is empty"), FieldViolation('rebalance.bias["x"]', "no such span")]
    with serving(raising(InvalidRequest(violations))) as served, Client(served.address) as client:
        with pytest.raises(InvalidRequest) as caught:
            client.answer(REQUEST)
        assert caught.value.violations == tuple(violations)


def test_an_error_too_large_for_trailers_is_cut_and_counted() -> None:
    violations = [FieldViolation(f"spans[{index}].id", "重复" * 400) for index in range(64)]
    with (
        serving(raising(InvalidRequest(violations))) as served,
        Client(served.address) as client,
        pytest.raises(InvalidRequest) as caught,
    ):
        client.answer(REQUEST)
    kept = len(caught.value.violations)
    assert 0 < kept < 64
    assert str(caught.value).endswith(f"and {64 - kept} more")


def test_a_bug_is_internal_without_a_word_of_python(caplog: pytest.LogCaptureFixture) -> None:
    secret = "KeyError: 'secret'"
    with serving(raising(RuntimeError(secret))) as served, Client(served.address) as client:
        with pytest.raises(XmguardError) as caught:
            client.answer(REQUEST)
        assert (caught.value.code, caught.value.reason) == (ErrorCode.INTERNAL, Reason.INTERNAL)
        request_id = served.guard.calls[0][2]
    assert request_id in str(caught.value)
    assert "secret" not in str(caught.value)
    assert any(record.exc_info and request_id in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("method", wire.METHODS, ids=lambda method: method.name)
def test_a_malformed_body_is_an_invalid_argument(method: wire.Method) -> None:
    with serving() as served, grpc.insecure_channel(served.address) as channel:
        stub = channel.unary_stream(method.path) if method.streams else channel.unary_unary(method.path)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub(b"\xff\xff\xff not protobuf", timeout=5))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        everything = caught.value.details() + str(details(caught.value))
        assert "google.protobuf" not in everything
        assert "Traceback" not in everything
        assert "REQUEST_MALFORMED" in everything
        assert served.guard.calls == []
        assert health(served.address) == SERVING


def test_an_unknown_enum_number_names_its_field() -> None:
    from xmguard.v1 import guard_pb2

    body = guard_pb2.AnswerRequest(rebalance=guard_pb2.Rebalance(scope=17)).SerializeToString()
    with serving() as served, pytest.raises(grpc.RpcError) as caught:
        call_raw(served.address, "Answer", body)
    bad_request = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad_request) for detail in details(caught.value).details)
    assert [violation.field for violation in bad_request.field_violations] == ["rebalance.scope"]


def test_an_unknown_model_is_not_found() -> None:
    with serving() as served, Client(served.address) as client, pytest.raises(ModelNotFound, match="served: scripted"):
        client.model("another")


def test_nothing_at_the_address() -> None:
    with Client("127.0.0.1:1", timeout=5) as client, pytest.raises(XmguardError, match="xmguard serve") as caught:
        client.answer(REQUEST)
    assert (caught.value.code, caught.value.reason) == (ErrorCode.UNAVAILABLE, Reason.SERVER_UNREACHABLE)
    assert "127.0.0.1:1" in str(caught.value)


# -- a client that nobody here wrote -----------------------------------------------------------------------------------

GRPCURL = shutil.which("grpcurl") or shutil.which("grpcurl", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(GRPCURL is None, reason="grpcurl is not installed")
def test_grpcurl_lists_and_calls_by_reflection() -> None:
    def grpcurl(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([GRPCURL, "-plaintext", *arguments], capture_output=True, text=True, check=False)

    with serving() as served:
        listed = grpcurl(served.address, "list")
        assert {wire.SERVICE, "grpc.health.v1.Health"} <= set(listed.stdout.split())
        body = wire.to_json(REQUEST)
        answered = grpcurl("-d", body, served.address, f"{wire.SERVICE}/Answer")
        assert '"decision": "DECISION_CONFLICT"' in answered.stdout
        served.guard.script = raising(InvalidRequest.field("question", "is empty"))
        refused = grpcurl("-d", body, served.address, f"{wire.SERVICE}/Answer")
        assert "InvalidArgument" in refused.stderr
        assert "is empty" in refused.stderr
