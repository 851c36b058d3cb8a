"""Many callers, impatient callers, and the server's own beginning and end."""

from __future__ import annotations

import gc
import inspect
import logging
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests import scripted
from tests.scripted import (
    REQUEST,
    blocked,
    burning,
    call_raw,
    details,
    eventually,
    health,
    raising,
    scrape,
    serving,
)
from xmguard import wire
from xmguard.cli.access import SERVER_SECONDS
from xmguard.client import AsyncClient, Client, Retries
from xmguard.deadline import Stop
from xmguard.errors import (
    Cancelled,
    DeadlineExceeded,
    ErrorCode,
    Reason,
    SetupIncomplete,
    XmguardError,
)
from xmguard.request import AnswerRequest
from xmguard.response import Done, Event
from xmguard_server.commands import serve
from xmguard_server.config import ServerConfig

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ONCE = Retries(attempts=1)


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
    assert served.guard.closed == 1


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


def test_callers_that_leave_at_any_moment_never_look_like_bugs() -> None:
    def impatient(milliseconds: int) -> None:
        with Client(served.address, timeout=milliseconds / 1000) as client:
            for _ in range(15):
                with pytest.raises(DeadlineExceeded):
                    client.answer(REQUEST)

    with serving(blocked(threading.Event())) as served, ThreadPoolExecutor(6) as pool:
        list(pool.map(impatient, range(10, 40, 5)))
        began, ended = (
            r'grpc_server_started_total{.*grpc_method="Answer".*}',
            'xmguard_requests_total{.*method="Answer"}',
        )
        # A caller may have left before the server heard of it, so how many it heard of is for it to say.
        eventually(lambda: counted(served, began) == counted(served, ended) > 0)
        page = scrape(served.metrics_url)
        assert counted(served, ended) == counted(
            served, 'xmguard_requests_total{code="DEADLINE_EXCEEDED",method="Answer"}'
        )
        assert 'xmguard_rejected_total{reason="INTERNAL"} 0.0' in page


def counted(served, series: str) -> float:
    """Sum of the series whose name and labels match a regular expression."""
    found = re.findall(rf"^{series} (\S+)$", scrape(served.metrics_url), re.MULTILINE)
    return sum(map(float, found))


def test_whoever_would_wait_longer_than_answers_took_is_refused_at_once() -> None:
    release = threading.Event()

    def slow(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
        time.sleep(0.5)
        yield from scripted.ordinary(request, stop)

    with serving(slow, max_queue_wait=0.3) as served, Client(served.address, retries=ONCE) as client:
        assert client.answer(REQUEST).answer
        served.guard.script = blocked(release)
        stream = client.stream(REQUEST)
        next(stream)
        with pytest.raises(XmguardError, match="the wait would be about") as caught:
            client.answer(REQUEST)
        assert caught.value.reason is Reason.QUEUE_TIMEOUT
        release.set()
        assert isinstance(list(stream)[-1], Done)


def test_a_caller_without_a_deadline_gets_the_servers() -> None:
    with (
        serving(blocked(threading.Event()), default_deadline=0.3) as served,
        grpc.insecure_channel(served.address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(wire.ANSWER.path)(wire.ANSWER.pack_request(REQUEST))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_callers_wait_as_long_as_the_server_works_and_no_longer() -> None:
    for client in (Client, AsyncClient):
        assert inspect.signature(client).parameters["timeout"].default == ServerConfig().default_deadline
    assert ServerConfig().max_deadline == SERVER_SECONDS


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    release = threading.Event()
    with serving(blocked(release), max_queue=1) as served, Client(served.address, retries=ONCE) as client:
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
    assert refused.value.retry_after == pytest.approx(retry.retry_delay.ToMilliseconds() / 1000)
    assert waits[0] < waits[1]
    assert 'xmguard_rejected_total{reason="QUEUE_FULL"} 2.0' in page


def test_a_waiting_request_that_is_cancelled_leaves_the_queue() -> None:
    release = threading.Event()
    with serving(blocked(release), max_queue=1) as served, Client(served.address, retries=ONCE) as client:
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
        with pytest.raises(XmguardError, match="in use; --admin-port"), serving(admin_port=port):
            pass


def test_no_record_is_left_of_a_server_that_is_freed(caplog: pytest.LogCaptureFixture) -> None:
    """grpc would write one that holds the freed server itself, and reading or dropping it ends the process."""
    caplog.set_level(logging.DEBUG)
    with serving() as served:
        port = int(served.address.rpartition(":")[2])
        with pytest.raises(XmguardError, match="in use"), serving(port=port):
            pass
    gc.collect()
    assert not [record.msg for record in caplog.records if "__dealloc__" in record.msg]


def test_the_command_cannot_start_and_exits_2_with_one_line() -> None:
    for arguments, complaint in (
        (["--host", "203.0.113.1", "--insecure-open-bind"], "cannot listen on 203.0.113.1:0: "),
        (["--model", "no-such-model"], "no-such-model"),
        (
            ["--engine", "openai", "--model", "m", "--engine-option", "x=1", "--concurrency", "3"],
            "error: --engine-option x: is no option of the openai engine; it has ",
        ),
    ):
        command = [sys.executable, "-m", "xmguard", "serve", "--port", "0", "--admin-port", "0", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: ")
        assert complaint in last
        assert "Traceback" not in done.stderr


def test_the_command_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    for module in ("xmguard_server.admin", "xmguard_server.app", "xmguard_server.metrics"):
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(SetupIncomplete, match=r'pip install "xmguard\[server\]"'):
        serve()


def test_sigterm_while_the_model_is_loading_exits_0() -> None:
    process = subprocess.Popen([sys.executable, scripted.__file__, "never"], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
