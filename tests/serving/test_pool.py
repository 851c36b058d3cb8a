"""Workers without a server around them, as processes or as threads in their place: losses, and what follows."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import psutil
import pytest

from tests.scripted import REQUEST, ScriptedGuard, ScriptedRequest, ThreadLaunch, ThreadWorker, blocked
from xmguard import wire
from xmguard.deadline import Stop
from xmguard.errors import EngineError, ModelRefused, XmguardError
from xmguard.request import AnswerRequest
from xmguard_server.admission import shutting_down
from xmguard_server.workers import runtime, supervisor
from xmguard_server.workers.launching import Launch, ProcessLaunch
from xmguard_server.workers.link import Frames, Kind
from xmguard_server.workers.losses import LossReason
from xmguard_server.workers.pool import PlacedCall, Pool
from xmguard_server.workers.remote import AtOnce
from xmguard_server.workers.served import Loading
from xmguard_server.workers.suspects import Asked

BODY, ANOTHER = (wire.CHECK.pack_request(replace(REQUEST, question=question)) for question in ("one?", "two?"))


@asynccontextmanager
async def pooled(
    launch: Launch,
    *,
    workers: int = 1,
    lost: Callable[[LossReason], None] | None = None,
    resized: Callable[[int], None] | None = None,
) -> AsyncIterator[Pool]:
    """A pool that loads; stopped on leaving."""
    pool = Pool(launch, workers=workers, step_timeout=5.0, max_restarts=20, lost=lost, resized=resized)
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


class ButTheLast:
    """Starts workers that load, the one with number 3 only where there is room for it."""

    def __init__(self, room: Callable[[], bool]) -> None:
        self._room = room
        self.last: ThreadWorker

    def __call__(self, number: int) -> ThreadWorker:
        worker = ThreadLaunch(self._refused if number == 3 and not self._room() else ScriptedGuard)(number)
        if number == 3:
            self.last = worker
        return worker

    def _refused(self) -> ScriptedGuard:
        raise ModelRefused("scripted", ["there is no room for it"])


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


async def test_a_worker_whose_front_is_gone_does_not_wait_for_an_engine_that_never_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "_STEP_GRACE", 0.1)
    monkeypatch.setattr(runtime, "_CLOSE_GRACE", 0.1)
    guard, release = ScriptedGuard(), threading.Event()
    monkeypatch.setattr(guard.backend, "close", lambda: release.wait(20))
    worker = ThreadLaunch(lambda: guard)(0)
    worker.link.settimeout(10)
    loaded = Frames()
    while not any(message.kind is Kind.READY for message in loaded.feed(worker.link.recv(4096))):
        pass
    worker.link.close()
    await until(lambda: bool(worker.ended()), 5)
    release.set()


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


async def test_a_lost_workers_places_are_gone_before_its_calls_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 60.0)
    workers: list[ThreadWorker] = []
    told: list[int | str] = []

    def launch(number: int) -> ThreadWorker:
        workers.append(ThreadLaunch(ScriptedGuard)(number))
        return workers[-1]

    async with pooled(launch, resized=told.append) as pool:
        await pool.ready()
        call = await prepared(pool)
        call.when_over(lambda: told.append("over"))
        workers[0].link.shutdown(socket.SHUT_RDWR)  # as if it were gone
        await until(lambda: "over" in told)
    assert told == [1, 0, "over"]


async def test_what_waits_is_refused_too_once_its_like_was_found_out() -> None:
    async with pooled(ThreadLaunch(ScriptedGuard)) as pool:
        await pool.ready()
        waits = await prepared(pool)
        for _ in range(2):
            pool.suspects.lost([Asked(wire.CHECK.name, BODY)])
        with pytest.raises(EngineError, match="is refused for"):
            waits.run(0.0, "")


async def test_a_worker_that_is_lost_while_it_loads_again_is_started_once_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    losses: list[LossReason] = []
    started: list[ThreadWorker] = []
    loads: list[None] = []
    release = threading.Event()

    def load() -> ScriptedGuard:
        loads.append(None)
        if len(loads) == 2:
            release.wait(10)
        return ScriptedGuard()

    def launch(number: int) -> ThreadWorker:
        started.append(ThreadLaunch(load)(number))
        return started[-1]

    async with pooled(launch, lost=losses.append) as pool:
        await pool.ready()
        for count in (1, 2):
            started[-1].link.shutdown(socket.SHUT_RDWR)  # as if it were gone
            await until(lambda count=count: len(started) == len(loads) == count + 1)
        release.set()
        await until(lambda: pool.ready_workers == 1)
    assert losses == [LossReason.CRASH] * 2
    assert "while it loaded the model; starting it again" in caplog.text


async def test_of_several_workers_one_that_cannot_load_at_first_is_the_end_for_all() -> None:
    async with pooled(ButTheLast(lambda: False), workers=4) as pool:
        with pytest.raises(XmguardError, match="there is no room for it"):
            await pool.ready()


async def test_of_several_workers_one_that_cannot_load_again_is_missing_and_the_others_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.02)
    monkeypatch.setattr(supervisor, "LONGEST_DELAY", 0.08)
    losses: list[LossReason] = []
    room = threading.Event()
    room.set()
    launch = ButTheLast(room.is_set)
    async with pooled(launch, workers=4, lost=losses.append) as pool:
        await pool.ready()
        assert (pool.slots, pool.ready_workers) == (4, 4)
        room.clear()
        launch.last.link.shutdown(socket.SHUT_RDWR)  # as if it were gone
        await until(lambda: len(losses) == 5)
        assert (pool.slots, pool.ready_workers) == (3, 3)
        assert await check(pool)
        room.set()
        await until(lambda: pool.ready_workers == 4)
        assert pool.slots == 4
    assert losses[:5] == [LossReason.CRASH] + [LossReason.LOAD] * 4
    assert re.findall(r"starting it again in (\S+) s", caplog.text)[:5] == ["0.02", "0.04", "0.08", "0.08", "0.08"]


async def test_an_answer_clears_its_request() -> None:
    async with pooled(ThreadLaunch(ScriptedGuard)) as pool:
        await pool.ready()
        for _ in range(3):
            pool.suspects.lost([Asked(wire.CHECK.name, BODY)])
            assert await check(pool)


class SlowlyPrepared(ScriptedGuard):
    """Prepares nothing before it is told to, and says what it was given in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []
        self.release = threading.Event()
        self.most = 0
        self._now = 0

    def prepare(self, request: AnswerRequest, *, answers: bool) -> ScriptedRequest:
        self._now += 1
        self.most = max(self.most, self._now)
        self.given.append(request.question)
        assert self.release.wait(10)
        self._now -= 1
        return super().prepare(request, answers=answers)


async def test_requests_are_prepared_in_order_and_one_that_is_cancelled_meanwhile_is_not() -> None:
    guard = SlowlyPrepared()
    asked = [wire.CHECK.pack_request(replace(REQUEST, question=f"{number}")) for number in range(5)]
    async with pooled(ThreadLaunch(lambda: guard)) as pool:
        await pool.ready()
        calls = [pool.call(wire.CHECK, body, "request", Stop(10)) for body in asked]
        await until(lambda: bool(guard.given))
        assert [one.body for one in pool.idlest().working] == asked[:1]  # the others have nothing to do with a loss
        calls[2].cancel()
        await pool.engine_page()  # asked after the cancellation, so the worker has heard of that when it answers
        guard.release.set()
        for number, call in enumerate(calls):
            if number != 2:
                await call.size()
        at_once = AtOnce(ScriptedRequest(REQUEST).cost, lambda cost: None)
        run = pool.call(wire.CHECK, BODY, "request", Stop(10), at_once)
        assert (await run.response())[1]
    assert guard.given == ["0", "1", "3", "4", "one?"]
    assert guard.most == 1


class HeldGuard(ScriptedGuard):
    """Prepares one request after the other, each when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.backend.concurrency = 3
        self.begun: list[float] = []
        self.let = threading.Semaphore(0)

    def prepare(self, request: AnswerRequest, *, answers: bool) -> ScriptedRequest:
        self.begun.append(time.monotonic())
        assert self.let.acquire(timeout=20)
        return super().prepare(request, answers=answers)


async def test_who_waits_for_others_to_be_prepared_is_in_no_step_and_can_be_cancelled() -> None:
    guard = HeldGuard()
    async with pooled(ThreadLaunch(lambda: guard)) as pool:
        await pool.ready()
        remote = pool.idlest()
        at_once = AtOnce(ScriptedRequest(REQUEST).cost, lambda cost: None)
        calls = [pool.call(wire.CHECK, BODY, "request", Stop(20), at_once) for _ in range(2)]
        await until(lambda: remote.step_seconds > 1.0)
        left = pool.call(wire.CHECK, ANOTHER, "request", Stop(20), at_once)
        left.cancel()
        await pool.engine_page()  # asked after the cancellation, so the worker has heard of that when it answers
        guard.let.release()
        await until(lambda: len(guard.begun) == 2)
        remote.step_seconds = 0.0
        await until(lambda: remote.step_seconds > 0.0)
        assert remote.step_seconds < time.monotonic() - guard.begun[1] + 0.5
        guard.let.release()
        for call in calls:
            assert (await call.response())[1]
        await until(lambda: not remote.calls)
    assert len(guard.begun) == 2
