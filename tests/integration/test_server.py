"""The real server and the real client, around a guard that follows a script."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import typer
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests import scripted
from tests.scripted import REQUEST, VERDICT, WORDS, blocked, burning, eventually, raising, serving
from xmguard import wire
from xmguard.client import AsyncClient, Client
from xmguard.deadline import Stop
from xmguard.errors import (
    Cancelled,
    DeadlineExceeded,
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
from xmguard_server.commands import serve
from xmguard_server.errors import STATUS_CODES

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health(address: str, service: str = "") -> int:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as page:
        return page.read().decode()


def call_raw(address: str, method: str, body: bytes, **options: object) -> bytes:
    with grpc.insecure_channel(address) as channel:
        return channel.unary_unary(f"/{wire.SERVICE}/{method}")(body, timeout=5, **options)


def details(failure: grpc.RpcError) -> status_pb2.Status:
    trailers = dict(failure.trailing_metadata())
    return status_pb2.Status.FromString(trailers["grpc-status-details-bin"])


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


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_reaches_the_client_as_it_was_raised(code: ErrorCode) -> None:
    raised = XmguardError("what, which, what to do", code=code, reason=Reason.PLUGIN_FAILED)
    with serving(raising(raised)) as served, Client(served.address) as client:
        for call in (client.answer, client.check, lambda request: list(client.stream(request))):
            with pytest.raises(XmguardError, match=r"^what, which, what to do$") as caught:
                call(REQUEST)
            assert (caught.value.code, caught.value.reason) == (code, Reason.PLUGIN_FAILED)


def test_there_is_a_status_code_for_every_error_code() -> None:
    assert {code: status.name for code, status in STATUS_CODES.items()} == {code: code.value for code in ErrorCode}


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


# -- cancel, deadline, queue -------------------------------------------------------------------------------------------


def stopped(stop: Stop) -> bool:
    try:
        stop.check()
    except (Cancelled, DeadlineExceeded):
        return True
    return False


def test_closing_a_stream_stops_the_guard_and_frees_the_model() -> None:
    with serving(blocked(threading.Event())) as served, Client(served.address) as client:
        for _ in range(20):
            stream = client.stream(REQUEST)
            next(stream)
            stream.close()
        eventually(lambda: served.guard.closed == len(served.guard.calls))
        assert all(stopped(call[1]) for call in served.guard.calls)
        eventually(lambda: "xmguard_requests_running 0.0" in scrape(served.metrics_url))
        served.guard.script = scripted.ordinary
        assert client.answer(REQUEST).answer


async def test_cancelling_an_async_caller_stops_the_guard() -> None:
    with serving(blocked(threading.Event())) as served:
        async with AsyncClient(served.address) as client:
            stream = client.stream(REQUEST)
            await anext(stream)
            await stream.aclose()
            eventually(lambda: served.guard.closed == 1)


def test_a_deadline_ends_the_call_and_the_work() -> None:
    with serving(blocked(threading.Event())) as served, Client(served.address, timeout=0.3) as client:
        begun = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            client.answer(REQUEST)
        assert time.monotonic() - begun < 2
        eventually(lambda: served.guard.closed == 1)
        eventually(lambda: "xmguard_requests_total{code=" in scrape(served.metrics_url))
        page = scrape(served.metrics_url)
    assert 'xmguard_requests_total{code="DEADLINE_EXCEEDED",method="Answer"} 1.0' in page
    assert 'xmguard_rejected_total{reason="DEADLINE_EXCEEDED"} 1.0' in page


def test_a_caller_without_a_deadline_gets_the_servers() -> None:
    with (
        serving(blocked(threading.Event()), default_deadline=0.3) as served,
        grpc.insecure_channel(served.address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(wire.ANSWER.path)(wire.ANSWER.pack_request(REQUEST))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    release = threading.Event()
    with serving(blocked(release), max_queue=1) as served, Client(served.address) as client:
        with ThreadPoolExecutor(2) as pool:
            admitted = [pool.submit(client.answer, REQUEST) for _ in range(2)]
            eventually(lambda: "xmguard_requests_waiting 1.0" in scrape(served.metrics_url))
            with pytest.raises(grpc.RpcError) as caught:
                call_raw(served.address, "Answer", wire.ANSWER.pack_request(REQUEST))
            with pytest.raises(XmguardError) as refused:
                client.answer(REQUEST)
            assert health(served.address) == SERVING
            release.set()
            assert all(answer.result().answer for answer in admitted)
        waits = sorted(call[3] for call in served.guard.calls)
        page = scrape(served.metrics_url)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in details(caught.value).details)
    assert retry.retry_delay.ToMilliseconds() > 0
    assert refused.value.reason is Reason.QUEUE_FULL
    assert waits[0] < waits[1]
    assert 'xmguard_rejected_total{reason="QUEUE_FULL"} 2.0' in page


def test_a_waiting_request_that_is_cancelled_leaves_the_queue() -> None:
    release = threading.Event()
    with serving(blocked(release), max_queue=1) as served, Client(served.address) as client:
        running = client.stream(REQUEST)
        next(running)
        with Client(served.address, timeout=0.2) as hasty:
            for _ in range(3):  # with the place leaked, the second would be refused as QUEUE_FULL
                with pytest.raises(DeadlineExceeded):
                    hasty.answer(REQUEST)
                eventually(lambda: "xmguard_requests_waiting 0.0" in scrape(served.metrics_url))
        release.set()
        assert isinstance(list(running)[-1], Done)
        assert len(served.guard.calls) == 1


def test_concurrent_requests_do_not_mix() -> None:
    with serving() as served, Client(served.address) as client, ThreadPoolExecutor(8) as pool:
        questions = [f"question {number}" for number in range(40)]
        answers = pool.map(lambda question: client.answer(REQUEST, question=question), questions)
        assert [answer.raw_answer for answer in answers] == questions


def test_one_failing_request_leaves_the_next_alone() -> None:
    with serving(raising(SystemExit("a plugin gave up"))) as served, Client(served.address) as client:
        with pytest.raises(XmguardError):
            client.answer(REQUEST)
        served.guard.script = scripted.ordinary
        assert client.answer(REQUEST).answer


# -- health and lifecycle ----------------------------------------------------------------------------------------------


def test_health_answers_while_the_model_thread_burns_the_processor() -> None:
    release = threading.Event()
    with serving(burning(release), grace=1) as served, grpc.insecure_channel(served.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        stub.Check(health_pb2.HealthCheckRequest(), timeout=5)  # connects
        with Client(served.address) as client, ThreadPoolExecutor(1) as pool:
            answer = pool.submit(client.answer, REQUEST)
            eventually(lambda: len(served.guard.calls) == 1)
            slowest = 0.0
            for _ in range(20):
                begun = time.monotonic()
                assert stub.Check(health_pb2.HealthCheckRequest(service=wire.SERVICE), timeout=5).status == SERVING
                slowest = max(slowest, time.monotonic() - begun)
            release.set()
            assert answer.result().answer
    assert slowest < 0.25


def test_it_listens_but_does_not_serve_until_the_model_is_loaded() -> None:
    release = threading.Event()
    guard = scripted.ScriptedGuard()

    def load() -> scripted.ScriptedGuard:
        assert release.wait(20)
        return guard

    with serving(load=load) as served, Client(served.address) as client:
        assert health(served.address) == health(served.address, wire.SERVICE) == NOT_SERVING
        for call in (client.model, lambda: client.answer(REQUEST)):
            with pytest.raises(XmguardError, match="loaded") as caught:
                call()
            assert caught.value.code is ErrorCode.UNAVAILABLE
        release.set()
        assert served.loaded.wait(5)
        assert health(served.address) == health(served.address, wire.SERVICE) == SERVING
        assert client.answer(REQUEST).answer


def test_stopping_refuses_the_new_and_finishes_the_old() -> None:
    release = threading.Event()
    with serving(blocked(release)) as served, Client(served.address) as client:
        stream = client.stream(REQUEST)
        next(stream)
        served.begin_stop()
        eventually(lambda: health(served.address) == NOT_SERVING)
        with pytest.raises(XmguardError) as caught:
            client.answer(REQUEST)
        assert caught.value.reason is Reason.SHUTTING_DOWN
        release.set()
        assert isinstance(list(stream)[-1], Done)


def test_what_outlives_the_grace_is_told_why() -> None:
    with serving(blocked(threading.Event()), grace=0.1) as served, Client(served.address) as client:
        stream = client.stream(REQUEST)
        next(stream)
        served.begin_stop()
        with pytest.raises(XmguardError) as caught:
            list(stream)
        assert caught.value.reason is Reason.SHUTTING_DOWN


def test_sigterm_lets_a_stream_finish_and_exits_0() -> None:
    root = Path(scripted.__file__).parent.parent
    process = subprocess.Popen([sys.executable, scripted.__file__], stdout=subprocess.PIPE, cwd=root, text=True)
    with process, ThreadPoolExecutor(1) as pool:
        with Client(f"127.0.0.1:{process.stdout.readline().strip()}") as client:
            stream = client.stream(REQUEST)
            next(stream)
            process.send_signal(signal.SIGTERM)
            last = pool.submit(lambda: list(stream)[-1]).result(20)
        assert isinstance(last, Done)
        assert process.wait(20) == 0


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with serving() as served:
        port = int(served.address.rpartition(":")[2])
        with (
            pytest.raises(XmguardError, match=f"cannot listen on 127.0.0.1:{port}: .*in use; --port"),
            serving(port=port),
        ):
            pass
        port = int(served.metrics_url.removesuffix("/metrics").rpartition(":")[2])
        with pytest.raises(XmguardError, match="in use; --metrics-port"), serving(metrics_port=port):
            pass


def test_the_command_cannot_start_and_exits_2_with_one_line() -> None:
    for arguments, complaint in (
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1:0: "),
        (["--model", "no-such-model"], "no-such-model"),
    ):
        command = [sys.executable, "-m", "xmguard", "serve", "--port", "0", "--metrics-port", "0", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert complaint in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_the_command_says_which_extra_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    for module in ("xmguard_server.app", "xmguard_server.metrics"):
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(typer.Exit) as caught:
        serve()
    assert caught.value.exit_code == 2
    assert 'pip install "xmguard[server]"' in capsys.readouterr().err


def test_sigterm_while_the_model_is_loading_exits_0() -> None:
    process = subprocess.Popen([sys.executable, scripted.__file__, "never"], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


# -- metrics -----------------------------------------------------------------------------------------------------------


def exercised_page() -> str:
    strange = AnswerRequest(
        spans=(Span(id="a", media=Media("video/mp4", b"x")), Span(id="b", text="x", language="tlh")),
        question="q?",
        rebalance=Rebalance(policy="made-up"),
    )
    with serving() as served, Client(served.address) as client:
        client.answer(REQUEST)
        list(client.stream(REQUEST))
        client.check(REQUEST)
        client.answer(strange)
        with pytest.raises(ModelNotFound):
            client.model("another")
        health(served.address)
        served.guard.observer_failures["broken"] = 2
        return scrape(served.metrics_url)


def test_metrics_count_what_happened() -> None:
    page = exercised_page()
    for line in (
        'xmguard_requests_total{code="OK",method="Answer"} 2.0',
        'xmguard_requests_total{code="NOT_FOUND",method="GetModel"} 1.0',
        'xmguard_request_duration_seconds_count{method="StreamAnswer"} 1.0',
        "xmguard_time_to_first_token_seconds_count 3.0",
        "xmguard_queue_time_seconds_count 4.0",
        "xmguard_prompt_tokens_total 120.0",
        "xmguard_generated_tokens_total 9.0",
        "xmguard_evidence_tokens_total 36.0",
        "xmguard_requests_running 0.0",
        "xmguard_requests_waiting 0.0",
        'xmguard_conflicts_total{decision="conflict",language="cross",modality_pair="text-text"} 3.0',
        'xmguard_conflicts_total{decision="conflict",language="cross",modality_pair="other-text"} 1.0',
        'xmguard_attention_imbalance_log_ratio_sum{phase="before"} 6.0',
        'xmguard_attention_imbalance_log_ratio_sum{phase="after"} 1.5',
        'xmguard_attention_imbalance_per_token_log_ratio_count{phase="before"} 3.0',
        'xmguard_span_contribution_share_count{language="es",modality="text"} 3.0',
        'xmguard_span_contribution_share_count{language="other",modality="text"} 1.0',
        'xmguard_span_contribution_share_count{language="en",modality="other"} 1.0',
        'xmguard_rebalances_total{outcome="applied",policy="fixed"} 2.0',
        'xmguard_rebalances_total{outcome="applied",policy="other"} 1.0',
        'xmguard_rejected_total{reason="MODEL_NOT_FOUND"} 1.0',
        'xmguard_observer_failures_total{observer="broken"} 2.0',
        'grpc_server_handled_total{grpc_code="OK",grpc_method="StreamAnswer",grpc_service="xmguard.v1.GuardService",'
        'grpc_type="server_stream"} 1.0',
        'grpc_server_handled_total{grpc_code="OK",grpc_method="Check",grpc_service="grpc.health.v1.Health",'
        'grpc_type="unary"} 1.0',
    ):
        assert line in page.splitlines()
    assert 'xmguard_build_info{version="' in page
    assert "made-up" not in page
    assert "tlh" not in page


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_has_no_findings() -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exercised_page(), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_access_log_has_one_line_per_call_and_no_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with serving() as served, Client(served.address) as client:
        client.answer(REQUEST)
    (record,) = [record for record in caplog.records if record.name == "xmguard_server.access"]
    assert record.fields["method"] == "Answer"
    assert record.fields["code"] == "OK"
    assert "25%" not in str(record.__dict__)


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
