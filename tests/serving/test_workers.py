"""Worker processes behind the real command, with a stub for a model: killed, hung, out of memory, left, drained."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2

from tests.scripted import REQUEST, ScriptedGuard, ThreadLaunch, ThreadWorker, eventually, health, scrape
from tests.serving.stub_guard import READY, ROOT, StubServer, command, stub_server
from xmguard import wire
from xmguard.client import Client, Retries
from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import Delta, Done, Event
from xmguard.span import Media, Span
from xmguard_server.admission import shutting_down
from xmguard_server.workers.losses import LossReason
from xmguard_server.workers.pool import Pool

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
STEP_SECONDS = 0.02


def asked(question: str) -> AnswerRequest:
    return replace(REQUEST, question=question)


def asking(address: str, timeout: float = 60) -> Client:
    """A client that says what happened to a call, and does not make it again."""
    return Client(address, timeout=timeout, retries=Retries(attempts=1))


LONG = asked(f"tokens=100000 step={STEP_SECONDS}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubServer]:
    log = tmp_path_factory.mktemp("workers") / "log"
    limits = ("--workers", "2", "--step-timeout", "1.5", "--worker-memory", "2GiB", "--max-restarts", "100")
    with stub_server(log, *limits, concurrency=4, child=True) as served:
        yield served


@pytest.fixture
def client(served: StubServer) -> Iterator[Client]:
    eventually(
        lambda: len(workers(served.process)) == 2 and "xmguard_workers_ready 2.0" in scrape(served.metrics_url), 15
    )
    with asking(served.address, timeout=30) as client:
        yield client


def workers(front: subprocess.Popen[str]) -> list[psutil.Process]:
    return [child for child in psutil.Process(front.pid).children() if child.status() != psutil.STATUS_ZOMBIE]


def begun(client: Client, request: AnswerRequest = LONG) -> Iterator[Event]:
    """A stream of which a delta was read."""
    stream = client.stream(request)
    next(event for event in stream if isinstance(event, Delta))
    return stream


def restarts(served: StubServer, reason: str) -> float:
    page = scrape(served.metrics_url)
    return float(re.search(rf'^xmguard_worker_restarts_total{{reason="{reason}"}} (\S+)$', page, re.MULTILINE)[1])


def idle(served: StubServer) -> bool:
    return "xmguard_requests_running 0.0" in scrape(served.metrics_url)


# -- faults ------------------------------------------------------------------------------------------------------------


def test_a_killed_worker_ends_its_own_streams_only_and_comes_back(served: StubServer, client: Client) -> None:
    before = restarts(served, "crash")
    streams = [begun(client, asked(f"tokens=100 step={STEP_SECONDS}")) for _ in range(4)]
    old = workers(served.process)
    started = old[0].children()
    killed = time.monotonic()
    old[0].kill()

    def outcome(stream: Iterator[Event]) -> object:
        try:
            return list(stream)[-1]
        except XmguardError as error:
            return error, time.monotonic() - killed

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(outcome, streams))
    assert health(served.address) == SERVING
    finished = [one for one in outcomes if isinstance(one, Done)]
    lost = [one for one in outcomes if isinstance(one, tuple)]
    assert len(finished) == len(lost) == 2
    for error, seconds in lost:
        assert (error.code, error.reason) == (ErrorCode.UNAVAILABLE, Reason.WORKER_LOST)
        assert error.retry_after
        assert seconds < 2
    eventually(lambda: restarts(served, "crash") == before + 1)
    eventually(lambda: len(workers(served.process)) == 2, 10)
    assert started
    assert psutil.wait_procs(started, 5)[1] == []
    assert client.answer(REQUEST).answer


@pytest.mark.parametrize("fault", ["hang", "freeze", "stall"])
def test_a_worker_that_hangs_in_a_step_is_killed(served: StubServer, client: Client, fault: str) -> None:
    before = restarts(served, "hang")
    began = time.monotonic()
    with pytest.raises(XmguardError) as caught:
        client.answer(asked(f"fault={fault} after=1"))
    assert caught.value.reason is Reason.WORKER_LOST
    assert 1.5 <= time.monotonic() - began < 5
    eventually(lambda: restarts(served, "hang") == before + 1)
    assert health(served.address) == SERVING


@pytest.mark.parametrize(("method", "kills"), [("answer", 2), ("restarting_stream", 2)])
def test_a_request_that_kills_its_worker_is_made_once_more_and_not_again(
    served: StubServer, client: Client, method: str, kills: int
) -> None:
    before = restarts(served, "crash")
    with Client(served.address, timeout=30) as ordinary, pytest.raises(XmguardError) as caught:
        list(getattr(ordinary, method)(asked(f"fault=crash after=1 {method}")))
    assert caught.value.reason is Reason.WORKER_LOST
    eventually(lambda: restarts(served, "crash") >= before + kills)
    assert restarts(served, "crash") == before + kills


def test_grpc_itself_does_not_repeat_a_request_that_killed_its_worker(served: StubServer, client: Client) -> None:
    before = restarts(served, "crash")
    config = (("grpc.service_config", Retries().service_config()),)
    with grpc.insecure_channel(served.address, options=config) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(wire.ANSWER.path)(wire.ANSWER.pack_request(asked("fault=crash")), timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    eventually(lambda: restarts(served, "crash") == before + 1)


def test_a_long_answer_is_no_hang(served: StubServer, client: Client) -> None:
    before = restarts(served, "hang")
    assert client.answer(asked("tokens=20 step=0.1")).answer
    assert restarts(served, "hang") == before


@pytest.mark.parametrize("question", ["memory=4000", "fault=allocator"])
def test_what_does_not_fit_into_memory_is_refused_and_the_worker_goes_on(
    served: StubServer, client: Client, question: str
) -> None:
    before = [worker.pid for worker in workers(served.process)]
    with pytest.raises(XmguardError) as caught:
        client.answer(asked(question))
    assert (caught.value.code, caught.value.reason) == (ErrorCode.RESOURCE_EXHAUSTED, Reason.OUT_OF_MEMORY)
    assert client.answer(REQUEST).answer
    assert [worker.pid for worker in workers(served.process)] == before


@pytest.mark.parametrize("fault", ["bug", "exit"])
def test_a_bug_ends_its_own_request_and_the_workers_log_has_it(served: StubServer, client: Client, fault: str) -> None:
    with pytest.raises(XmguardError) as caught:
        client.answer(asked(f"fault={fault}"))
    assert caught.value.reason is Reason.INTERNAL
    request_id = str(caught.value).rpartition(" ")[2]
    lines = [json.loads(line) for line in served.log.read_text().splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == request_id and "traceback" in line]
    assert line["worker"] in (0, 1)
    assert line["logger"] == "xmguard_server.workers.faults"


def test_an_engine_that_fails_is_loaded_again_in_a_new_worker(served: StubServer, client: Client) -> None:
    before = restarts(served, "engine")
    with pytest.raises(XmguardError) as caught:
        client.answer(asked("fault=engine"))
    assert (caught.value.code, caught.value.reason) == (ErrorCode.UNAVAILABLE, Reason.ENGINE_FAILED)
    eventually(lambda: restarts(served, "engine") == before + 1)


def test_what_costs_too_much_is_not_run_although_there_is_a_place_for_it(served: StubServer, client: Client) -> None:
    before = [worker.pid for worker in workers(served.process)]
    for _ in range(9):  # one more than there are places
        with pytest.raises(XmguardError) as caught:
            client.answer(asked("cost=4000001 fault=crash"))
        assert caught.value.reason is Reason.REQUEST_TOO_LARGE
    assert [worker.pid for worker in workers(served.process)] == before
    eventually(lambda: idle(served))


# -- cancel and slow readers -------------------------------------------------------------------------------------------


def test_hundreds_of_cancelled_streams_leave_every_place_free(served: StubServer, client: Client) -> None:
    stub = grpc.insecure_channel(served.address).unary_stream(wire.STREAM_ANSWER.path)
    body = wire.STREAM_ANSWER.pack_request(LONG)
    with ThreadPoolExecutor(8) as pool:

        def leave(number: int) -> None:
            call = stub(body, timeout=10)
            if number % 2:
                next(call, None)
            call.cancel()

        list(pool.map(leave, range(300)))
    eventually(lambda: idle(served))
    with ThreadPoolExecutor(8) as pool:  # as many as there are places
        streams = list(pool.map(lambda number: begun(client), range(8)))
    for stream in streams:
        stream.close()
    eventually(lambda: idle(served))


def test_pictures_reach_the_worker_whole_and_come_back_to_nobody(served: StubServer, client: Client) -> None:
    photos = tuple(Span(id=f"p{k}", media=Media("image/jpeg", bytes([k]) * 3_000_000)) for k in range(8))
    response = client.answer(AnswerRequest(spans=photos, question="?"))
    assert [span.span_id for span in response.spans] == [photo.id for photo in photos]


# -- beginning and end -------------------------------------------------------------------------------------------------


def test_sigterm_finishes_what_is_in_flight_and_exits_0(tmp_path: Path) -> None:
    with stub_server(tmp_path / "log", concurrency=40) as served, asking(served.address) as client:
        streams = [begun(client, asked("tokens=30 step=0.05")) for _ in range(40)]
        gone = workers(served.process)
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: health(served.address) == NOT_SERVING, 1)
        with pytest.raises(XmguardError) as refused:
            client.answer(REQUEST)
        with ThreadPoolExecutor(40) as pool:
            ends = list(pool.map(lambda stream: list(stream)[-1], streams))
        assert all(isinstance(end, Done) for end in ends)
        assert served.process.wait(10) == 0
        assert psutil.wait_procs(gone, 5)[1] == []
    assert refused.value.reason is Reason.SHUTTING_DOWN


def test_a_second_signal_and_the_end_of_the_grace_cut_off_what_runs(tmp_path: Path) -> None:
    for arguments in ((), ("--grace", "0.3")):
        with stub_server(tmp_path / "log", *arguments) as served, asking(served.address) as client:
            stream = begun(client)
            served.process.send_signal(signal.SIGINT)
            eventually(lambda address=served.address: health(address) == NOT_SERVING, 1)
            if not arguments:
                served.process.send_signal(signal.SIGINT)
            with pytest.raises(XmguardError) as caught:
                list(stream)
            assert caught.value.reason is Reason.SHUTTING_DOWN
            assert served.process.wait(10) == 0


def test_what_waits_is_answered_by_the_next_worker_when_one_is_killed_while_the_server_finishes(tmp_path: Path) -> None:
    with (
        stub_server(tmp_path / "log", "--max-queue-wait", "60") as served,
        asking(served.address) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        stream = begun(client)
        waiting = pool.submit(client.answer, REQUEST)
        eventually(lambda: "xmguard_requests_waiting 1.0" in scrape(served.metrics_url))
        served.process.send_signal(signal.SIGTERM)
        eventually(lambda: health(served.address) == NOT_SERVING)
        workers(served.process)[0].kill()
        with pytest.raises(XmguardError) as lost:
            list(stream)
        assert lost.value.reason is Reason.WORKER_LOST
        assert waiting.result(30).answer
        assert served.process.wait(20) == 0
        assert served.process.stdout.read() == ""  # not said to serve again


def test_when_the_front_is_killed_its_workers_and_what_they_started_end(tmp_path: Path) -> None:
    with stub_server(tmp_path / "log", "--workers", "2", child=True) as served, asking(served.address) as client:
        begun(client)
        front = psutil.Process(served.process.pid)
        eventually(lambda: len(front.children(recursive=True)) == 4, 15)
        everybody = front.children(recursive=True)
        served.process.kill()
        assert psutil.wait_procs(everybody, 5)[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the worker itself must get a turn to notice")
def test_when_the_front_is_killed_a_worker_that_is_stuck_outside_of_python_ends_too(tmp_path: Path) -> None:
    with stub_server(tmp_path / "log", child=True) as served, asking(served.address) as client:
        begun(client, asked("fault=freeze after=1"))
        everybody = psutil.Process(served.process.pid).children(recursive=True)
        assert len(everybody) == 2
        served.process.kill()
        assert psutil.wait_procs(everybody, 5)[1] == []


def test_a_worker_that_cannot_load_the_model_again_is_tried_later_each_time(tmp_path: Path) -> None:
    needed = tmp_path / "weights"
    needed.touch()
    with stub_server(tmp_path / "log", needs=needed) as served, asking(served.address) as client:
        needed.unlink()
        workers(served.process)[0].kill()
        eventually(lambda: health(served.address) == NOT_SERVING, 2)
        with pytest.raises(XmguardError) as caught:
            client.answer(REQUEST)
        assert (caught.value.code, caught.value.reason) == (ErrorCode.UNAVAILABLE, Reason.MODEL_LOADING)
        assert caught.value.retry_after == 1.0
        eventually(lambda: restarts(served, "load") >= 1, 10)
        needed.touch()
        eventually(lambda: health(served.address) == SERVING, 10)
        assert client.answer(REQUEST).answer
        delays = [float(found) for found in re.findall(r"starting it again in (\S+) s", served.log.read_text())]
    assert delays[:2] == [0.5, 1.0]


async def test_a_worker_that_the_system_cannot_start_now_is_started_later() -> None:
    started: list[ThreadWorker] = []
    threads = ThreadLaunch(ScriptedGuard)

    def launch(number: int) -> ThreadWorker:
        started.append(threads(number))
        if len(started) == 2:
            started[1].kill()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return started[-1]

    losses: list[LossReason] = []
    pool = Pool(launch, step_timeout=5.0, max_restarts=5, lost=losses.append)
    pool.start()
    try:
        await pool.ready()
        started[0].link.shutdown(socket.SHUT_RDWR)  # as if it were gone
        async with asyncio.timeout(10):
            while len(started) < 3 or not pool.ready_workers:
                await asyncio.sleep(0.02)
        assert losses == [LossReason.CRASH, LossReason.LOAD]
    finally:
        await pool.stop(shutting_down)


def test_nobody_reading_what_the_server_prints_changes_nothing() -> None:
    process = subprocess.Popen(command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        address = READY.match(process.stdout.readline())[1]
        process.stdout.close()
        process.stderr.close()
        for _ in range(2):  # the second loss shows whether anybody still follows the workers
            workers(process)[0].kill()
            eventually(lambda: health(address) == NOT_SERVING, 3)
            eventually(lambda: health(address) == SERVING, 20)
    finally:
        process.kill()
        process.wait(10)


def test_a_full_disk_under_the_log_costs_lines_and_no_call() -> None:
    with stub_server(Path("/dev/full")) as served, asking(served.address) as client:
        assert client.answer(asked("says=100000")).answer
        with pytest.raises(XmguardError):
            client.answer(asked("fault=bug"))  # which its worker logs
        assert client.answer(REQUEST).answer
        served.process.terminate()
        assert served.process.wait(20) == 0


def test_a_worker_that_is_lost_too_often_ends_the_server(tmp_path: Path) -> None:
    with stub_server(tmp_path / "log", "--max-restarts", "0") as served:
        workers(served.process)[0].kill()
        assert served.process.wait(10) == 2
        assert served.log.read_text().splitlines()[-1] == "error: worker 0 was killed by SIGKILL"


def test_a_model_that_cannot_be_loaded_ends_the_start_with_one_line(tmp_path: Path) -> None:
    arguments = command("--workers", "2", "--engine-option", f"needs={tmp_path}/weights")
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"error: stub is refused: {tmp_path}/weights is not there"
    assert "Traceback" not in done.stderr


def test_a_worker_that_is_killed_while_it_first_loads_ends_the_start_with_one_line() -> None:
    arguments = command("--engine-option", "load=60")
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    with process:
        assert json.loads(process.stderr.readline())["message"] == "loading the stub"
        workers(process)[0].kill()
        told, logged = process.communicate(timeout=20)
    assert (process.returncode, told) == (2, "")
    assert logged.splitlines()[-1] == "error: worker 0 was killed by SIGKILL while it loaded the model"


def test_a_reader_that_stalls_is_left_and_others_are_not(tmp_path: Path) -> None:
    with (
        stub_server(tmp_path / "log", "--send-timeout", "0.5", concurrency=2) as served,
        asking(served.address) as client,
    ):
        stub = grpc.insecure_channel(served.address).unary_stream(wire.STREAM_ANSWER.path)
        body = wire.STREAM_ANSWER.pack_request(asked("tokens=500 size=100000"))
        stalled = stub(body, timeout=30)
        next(stalled)
        eventually(lambda: idle(served), 3)  # the model does not wait for the reader
        eventually(
            lambda: 'xmguard_requests_total{code="CANCELLED",method="StreamAnswer"} 1.0' in scrape(served.metrics_url)
        )
        with pytest.raises(grpc.RpcError):
            list(stalled)
        assert client.answer(REQUEST).answer


def test_what_a_worker_is_told_by_a_signal_it_leaves_to_the_front(served: StubServer, client: Client) -> None:
    stream = begun(client, asked("tokens=20 step=0.02"))
    for worker in workers(served.process):
        os.kill(worker.pid, signal.SIGTERM)
    assert isinstance(list(stream)[-1], Done)
