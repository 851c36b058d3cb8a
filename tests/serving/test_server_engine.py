"""The server around an engine that takes several requests at once, and around one that fails."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.scripted import (
    REQUEST,
    ScriptedBackend,
    ScriptedGuard,
    ThreadLaunch,
    blocked,
    eventually,
    health,
    ordinary,
    scrape,
    serving,
)
from xmguard.client import AsyncClient, Client, Retries
from xmguard.deadline import Stop
from xmguard.errors import EngineError, ErrorCode, Reason, XmguardError
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest
from xmguard.response import ConflictVerdict, Done, Event, Started
from xmguard_server.app import Server, run
from xmguard_server.config import ServerConfig
from xmguard_server.metrics import Metrics
from xmguard_server.workers import supervisor
from xmguard_server.workers.suspects import SECONDS

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING
ONCE = Retries(attempts=1)


def test_as_many_requests_run_at_once_as_the_engine_takes_and_the_next_ones_wait() -> None:
    release = threading.Event()
    guard = ScriptedGuard(blocked(release), backend=ScriptedBackend(concurrency=3))
    with serving(load=lambda: guard, max_queue=1) as served, Client(served.address, retries=ONCE) as client:
        assert served.loaded.wait(20)
        streams = [client.stream(REQUEST) for _ in range(3)]
        for stream in streams:
            assert [type(next(stream)) for _ in range(2)] == [Started, ConflictVerdict]
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.answer, REQUEST)
            eventually(lambda: "xmguard_requests_waiting 1.0" in scrape(served.metrics_url))
            assert "xmguard_requests_running 3.0" in scrape(served.metrics_url)
            with pytest.raises(XmguardError) as refused:
                client.answer(REQUEST)
            release.set()
            assert all(isinstance(list(stream)[-1], Done) for stream in streams)
            assert waiting.result(20).answer
    assert refused.value.reason is Reason.QUEUE_FULL
    assert guard.closed == 4


class Life:
    """A server that runs as the command runs it, in the test's own loop."""

    def __init__(self, load: Callable[[], ScriptedGuard], **settings: int) -> None:
        self._ready: asyncio.Queue[Server] = asyncio.Queue()
        config = ServerConfig(port=0, admin_port=0, grace=5.0, **settings)
        self.over = asyncio.create_task(
            run(
                config,
                Metrics(load_plugins()),
                ThreadLaunch(load),
                ready=lambda info, server: self._ready.put_nowait(server),
            )
        )

    async def ready(self) -> str:
        """The address, once it answers."""
        return f"127.0.0.1:{(await asyncio.wait_for(self._ready.get(), 20)).port}"


async def status(address: str) -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        return (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)).status


def failing(guard: ScriptedGuard) -> None:
    """As an engine does whose process is gone: what runs ends with the error, and it says why."""

    def script(request, stop):
        raise EngineError("the engine failed: it is gone")
        yield

    guard.script = script
    guard.backend.failure = "it is gone"


async def test_when_the_engine_fails_health_says_so_and_the_server_ends_if_it_is_to() -> None:
    guard = ScriptedGuard()
    life = Life(lambda: guard, max_restarts=0)
    address = await life.ready()
    async with AsyncClient(address) as client:
        assert await status(address) == SERVING
        failing(guard)
        with pytest.raises(XmguardError) as caught:
            await client.answer(REQUEST)
    assert caught.value.code is ErrorCode.UNAVAILABLE
    with pytest.raises(EngineError, match="it is gone"):
        await asyncio.wait_for(life.over, 5)
    assert guard.backend.closed == 1


def test_a_request_under_which_the_engine_failed_twice_is_refused_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    breaking = replace(REQUEST, question="this breaks it")

    def load() -> ScriptedGuard:
        guard = ScriptedGuard()

        def script(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
            if request == breaking:
                guard.backend.failure = "it is gone"
                raise EngineError("the engine failed: it is gone")
            yield from ordinary(request, stop)

        guard.script = script
        return guard

    with serving(load=load) as served, Client(served.address, retries=ONCE) as client:
        for loss in (1, 2):
            eventually(lambda: health(served.address) == SERVING)
            with pytest.raises(EngineError, match="it is gone"):
                client.answer(breaking)
            lost = f'xmguard_worker_restarts_total{{reason="engine"}} {loss}.0'
            eventually(lambda lost=lost: lost in scrape(served.metrics_url))
        eventually(lambda: health(served.address) == SERVING)
        with pytest.raises(EngineError, match="while they had this request, so it is refused for") as caught:
            client.answer(breaking)
        assert client.answer(REQUEST).answer
        page = scrape(served.metrics_url)
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    assert 0 < caught.value.retry_after <= SECONDS
    assert 'xmguard_rejected_total{reason="ENGINE_FAILED"} 3.0' in page
    assert 'xmguard_worker_restarts_total{reason="engine"} 2.0' in page


async def test_when_the_engine_fails_the_model_is_loaded_again() -> None:
    gone, again = ScriptedGuard(), threading.Event()
    guards = iter([gone, ScriptedGuard()])

    def load() -> ScriptedGuard:
        guard = next(guards)
        assert guard is gone or again.wait(20)
        return guard

    life = Life(load)
    address = await life.ready()
    failing(gone)
    async with asyncio.timeout(2):
        while await status(address) != NOT_SERVING:
            await asyncio.sleep(0.02)
    again.set()
    assert await life.ready() == address
    assert await status(address) == SERVING
    async with AsyncClient(address) as client:
        assert (await client.answer(REQUEST)).answer
    assert gone.backend.closed == 1
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(life.over, 10)
