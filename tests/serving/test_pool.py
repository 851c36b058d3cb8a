"""Workers without a server around them, as processes or as threads in their place: losses, and what follows."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import psutil
import pytest

from tests.scripted import REQUEST, ScriptedGuard, ThreadLaunch, ThreadWorker, blocked
from xmguard import wire
from xmguard.deadline import Stop
from xmguard.errors import EngineError, ErrorCode, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import Event
from xmguard_server.admission import shutting_down
from xmguard_server.workers import supervisor
from xmguard_server.workers.launching import Launch, ProcessLaunch
from xmguard_server.workers.losses import LossReason
from xmguard_server.workers.pool import PlacedCall, Pool
from xmguard_server.workers.served import Loading
from xmguard_server.workers.suspects import Asked

BODY, ANOTHER = (wire.CHECK.pack_request(replace(REQUEST, question=question)) for question in ("one?", "two?"))


@asynccontextmanager
async def pooled(
    launch: Launch, *, workers: int = 1, lost: Callable[[LossReason], None] | None = None
) -> AsyncIterator[Pool]:
    """A pool that loads; stopped on leaving."""
    pool = Pool(launch, workers=workers, step_timeout=5.0, max_restarts=20, lost=lost)
    pool.start()
    try:
        yield pool
    finally:
        await pool.stop(shutting_down)


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def prepared(pool: Pool, body: bytes = BODY) -> PlacedCall:
    """A request to check, ready to run."""
    call = pool.call(wire.CHECK, body, "request", Stop(10))
    await call.size()
    return call


async def check(pool: Pool) -> bytes:
    """Have a request checked."""
    call = await prepared(pool)
    call.run(0.0, "")
    return (await call.response())[0]


async def test_an_engine_that_never_closes_does_not_keep_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_END_GRACE", 0.2)
    options = {"never_closed": True, "child": True}
    loading = Loading("tests.serving.stub_guard:load", {"model": "stub", "options": options})
    before = set(psutil.Process().children())
    async with pooled(ProcessLaunch(loading, workers=1, memory=0)) as pool:
        await pool.ready()
        (worker,) = set(psutil.Process().children()) - before
        everybody = [worker, *worker.children()]
        assert len(everybody) == 2
    assert psutil.wait_procs(everybody, 5)[1] == []


async def test_a_request_under_which_the_engine_failed_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    losses: list[LossReason] = []

    def load() -> ScriptedGuard:
        guard = ScriptedGuard()

        def failing(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
            guard.backend.failure = "it is gone"
            raise EngineError("the engine failed: it is gone")
            yield

        guard.script = failing
        return guard

    async with pooled(ThreadLaunch(load), lost=losses.append) as pool:
        for loss in (1, 2):
            await until(lambda: pool.ready_workers == 1)
            with pytest.raises(EngineError, match="it is gone"):
                await check(pool)
            await until(lambda loss=loss: len(losses) == loss)
        with pytest.raises(EngineError, match="is refused for") as caught:
            await check(pool)
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    assert losses == [LossReason.ENGINE] * 2


async def test_what_only_waited_when_a_worker_was_lost_takes_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    started: list[ThreadWorker] = []
    guards: list[ScriptedGuard] = []
    release = threading.Event()

    def load() -> ScriptedGuard:
        guards.append(ScriptedGuard(blocked(release)))
        return guards[-1]

    def launch(number: int) -> ThreadWorker:
        started.append(ThreadLaunch(load)(number))
        return started[-1]

    async with pooled(launch) as pool:
        for loss in (1, 2):
            await until(lambda loss=loss: pool.ready_workers == 1 and len(started) == loss)
            runs, waits = await prepared(pool), await prepared(pool, ANOTHER)
            runs.run(0.0, "")
            await until(lambda: bool(guards[-1].calls))
            started[-1].link.shutdown(socket.SHUT_RDWR)  # as if it were gone
            for call in (runs, waits):
                with pytest.raises(XmguardError, match="was lost"):
                    await call.response()
        await until(lambda: pool.ready_workers == 1 and len(started) == 3)
        with pytest.raises(EngineError, match="is refused for"):
            await prepared(pool)
        release.set()
        waits.run(0.0, "")
        assert (await waits.response())[1]


async def test_what_waits_is_refused_too_once_its_like_was_found_out() -> None:
    async with pooled(ThreadLaunch(ScriptedGuard)) as pool:
        await pool.ready()
        waits = await prepared(pool)
        for _ in range(2):
            pool.suspects.lost([Asked(wire.CHECK.name, BODY)])
        with pytest.raises(EngineError, match="is refused for"):
            waits.run(0.0, "")
