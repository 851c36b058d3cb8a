"""R3 and R4: calls that are left, in every way, free their place; and nothing of them is kept."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import grpc.aio

from tests.reliability.asking import answer, begun, body, channel, streaming, whole
from tests.reliability.stage import MIB, ROOT, Served, Stage, memory, misses, percentile
from tests.reliability.target import Finding, Measure, Target
from tests.scripted import eventually

STEP = 0.005
ENDLESS = f"tokens=100000 step={STEP}"
ALLOWED = STEP + 0.1
"""Seconds in which a place must be free: one step and 0.1."""
DEADLINE = 0.03
SIDE = 16


def places(stage: Stage) -> Iterator[Finding]:
    cancels, deadlines = stage.count(600, 7_000), stage.count(100, 3_000)
    with stage.stub("--max-queue", "64", concurrency=1) as served:
        waits, stuck = stage.do(_left(served, cancels, deadlines))
        for kind, seconds in waits.items():
            yield Measure(f"{kind}: slowest of {len(seconds)} places freed", max(seconds), ALLOWED, "s", slack=10)
            yield Measure(f"{kind}: p99", percentile(seconds, 0.99), ALLOWED, "s", slack=5)
        yield misses("places that were not free again within 10 s", stuck)
        eventually(served.idle)
        yield misses("requests that run when nobody asks", int(served.metric("xmguard_requests_running")))
    with stage.stub("--max-queue", str(SIDE), concurrency=SIDE) as served:
        slowest = max(_killed_client(served) for _ in range(stage.count(2, 20)))
        # The page of metrics is what tells, and reading it takes time of its own.
        yield Measure(f"killed client: its {SIDE} places free", slowest, ALLOWED + 0.05, "s", slack=10)


async def _left(served: Served, cancels: int, deadlines: int) -> tuple[dict[str, list[float]], int]:
    """There is one place: who has it leaves, and the next in the queue says when it got it. Seconds by way."""
    waits: dict[str, list[float]] = {"cancelled": [], "connection closed": [], "deadline passed": []}
    stuck = 0
    async with channel(served.address) as shared:
        for number in range(cancels + deadlines):
            closes = number < cancels and number % 2 == 1
            opened = grpc.aio.insecure_channel(served.address) if closes else shared
            expires = time.monotonic() + DEADLINE
            call = streaming(opened, ENDLESS, timeout=DEADLINE if number >= cancels else 30)
            if number < cancels:
                await begun(call)
            following = streaming(shared, ENDLESS, timeout=20)
            next_one = asyncio.create_task(begun(following))
            if number < cancels:
                await asyncio.sleep(0.002)  # the next one waits before this one leaves
            left = expires if number >= cancels else time.monotonic()
            if closes:
                await opened.close(None)
            elif number < cancels:
                call.cancel()
            try:
                await asyncio.wait_for(next_one, 10)
                kind = "deadline passed" if number >= cancels else "connection closed" if closes else "cancelled"
                waits[kind].append(time.monotonic() - left)
            except (TimeoutError, grpc.aio.AioRpcError):
                stuck += 1
            following.cancel()
            if number >= cancels:
                await whole(call)
    return waits, stuck


def _killed_client(served: Served) -> float:
    """Seconds until every place is free after the process that had all of them was killed."""
    holding = [sys.executable, "-m", "tests.reliability.holding", served.address, str(SIDE)]
    process = subprocess.Popen(holding, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        if served.metric("xmguard_requests_running") != SIDE:
            raise RuntimeError("the client did not hold its streams")
    finally:
        process.kill()
        began = time.monotonic()
        process.wait()
        process.stdout.close() if process.stdout else None
    eventually(served.idle, 20)
    return time.monotonic() - began


def leaks(stage: Stage) -> Iterator[Finding]:
    calls = stage.count(6_000, 100_000)
    with stage.stub("--max-queue", "512", "--max-queue-wait", "30", concurrency=8) as served:
        stage.do(mixed(served, 2_000, only_cancels=False))
        for _ in range(8):  # buffers, caches and arenas grow to their size: with calls, connections and looks at it
            stage.do(mixed(served, 500, only_cancels=True))
            _held(served)
        before = _held(served)
        stage.do(mixed(served, calls, only_cancels=True))
        cancelled = _held(served)
        stage.do(mixed(served, calls, only_cancels=False))
        after = _held(served)
        grown = (cancelled["memory"] - before["memory"]) / calls
        yield Measure(f"memory of the front kept for each of {calls:,} cancelled calls", grown, 8, "B", slack=16)
        later = (after["memory"] - cancelled["memory"]) / MIB
        yield Measure(f"growth of the front over {calls:,} mixed calls", later, 20, "MiB")
        workers = (after["workers"] - before["workers"]) / MIB
        yield Measure(f"growth of the worker over {2 * calls:,} calls", workers, 20, "MiB")
        for what in ("descriptors", "threads", "processes"):
            yield Measure(f"{what} of the front, more than before", after[what] - before[what], 0)
        yield misses("requests that run when nobody asks", int(served.metric("xmguard_requests_running")))
    if not stage.short:
        with stage.stub(concurrency=8) as served:
            yield from _half_an_hour(stage, served)


def _half_an_hour(stage: Stage, served: Served) -> Iterator[Finding]:
    stage.do(mixed(served, 5_000, only_cancels=False))
    before, end = _held(served), time.monotonic() + 30 * 60
    calls = 0
    while time.monotonic() < end:
        stage.do(mixed(served, 2_000, only_cancels=False))
        calls += 2_000
    grown = (_held(served)["memory"] - before["memory"]) / MIB
    yield Measure(f"growth of the front over 30 minutes, {calls:,} calls", grown, 20 * max(1, calls / 100_000), "MiB")


def _held(served: Served) -> dict[str, float]:
    """What the server has, once nothing runs and what is held for a moment was let go of."""
    eventually(served.idle, 20)
    time.sleep(0.5)
    front = served.front
    # A client's connection may outlive its last call; that is the client's.
    connections = [one for one in front.net_connections("tcp") if one.status not in ("LISTEN", "NONE")]
    return {
        "memory": memory(front),
        "workers": sum(memory(worker) for worker in served.workers()),
        "descriptors": front.num_fds() - len(connections),
        "threads": front.num_threads(),
        "processes": len(front.children(recursive=True)),
    }


async def mixed(served: Served, count: int, *, only_cancels: bool) -> None:
    """So many calls, eight at a time: cancelled before and after their first event, and answered, refused, too late."""
    numbers = iter(range(count))
    wrong = b"\xff\xff not a message"

    async def ask(opened: Any) -> None:
        for number in numbers:
            way = number % 2 if only_cancels else number % 6
            if way < 2:
                call = streaming(opened, ENDLESS)
                if way:
                    await begun(call)
                call.cancel()
            elif way == 2:
                await whole(streaming(opened, "tokens=3"))
            elif way == 3:
                await answer(opened, wrong)
            elif way == 4:
                await answer(opened, body(ENDLESS), timeout=0.01)
            else:
                await answer(opened, body("tokens=3 size=1000"))

    async with channel(served.address) as opened:
        await asyncio.gather(*(ask(opened) for _ in range(8)))


TARGETS = (
    Target(
        "R3",
        "Places of calls that are left",
        places,
        "that every place is free again is enforced; the time to 5 times (the slowest: 10 times) its bound, because a "
        "client and a server that wait for a processor look the same",
    ),
    Target(
        "R4",
        "Nothing is kept",
        leaks,
        "descriptors, threads and processes are enforced, and 20 MiB; bytes for each cancelled call to 16 times the "
        "bound, which the front misses: grpc keeps every write that fails because its caller left, and over a few "
        "thousand calls the heap still grows to its size",
    ),
)
