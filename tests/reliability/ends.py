"""R6, R7 and R8: servers that stop, workers that die, memory that is not there."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import psutil

from tests.reliability import envoy
from tests.reliability.asking import Ended, answer, begun, body, channel, streaming, whole
from tests.reliability.k6load import loading
from tests.reliability.stage import BARE, Absent, Served, Stage, end, engine_options, free_port, misses
from tests.reliability.target import Finding, Measure, Skip, Target
from tests.scripted import eventually, health
from tests.serving.stub_guard import command

NOT_SERVING = 2
STREAMS = 200
WORKERS, SIDE = 2, 4


# -- R6 ----------------------------------------------------------------------------------------------------------------


def stopping(stage: Stage) -> Iterator[Finding]:
    # 200 places in one worker: what is tested is that nothing is cut off, not how fast 200 are served.
    with stage.stub(concurrency=STREAMS) as served:
        told, ends, code, seconds = stage.do(_terminated(served))
        yield Measure("SIGTERM: NOT_SERVING is told after", told, 1, "s", slack=4)
        yield misses(f"of {STREAMS} streams in flight, truncated", sum(end.code != "OK" for end in ends))
        yield misses("exit status", code)
        yield Measure("exit after", seconds, 45, "s")
    try:
        yield from _rolling(stage)
    except Absent as absent:
        yield Skip("rolling restart behind Envoy under k6", str(absent))


async def _terminated(served: Served) -> tuple[float, list[Ended], int, float]:
    async with channel(served.address) as opened:
        streams = [streaming(opened, "tokens=30 step=0.1") for _ in range(STREAMS)]
        for stream in streams:
            await begun(stream)
        reading = [asyncio.create_task(whole(stream)) for stream in streams]
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        while await asyncio.to_thread(health, served.address) != NOT_SERVING:
            await asyncio.sleep(0.005)
        told = time.monotonic() - began
        ends = await asyncio.gather(*reading)
    code = await asyncio.to_thread(served.process.wait, 60)
    return told, list(ends), code, time.monotonic() - began


def _rolling(stage: Stage) -> Iterator[Finding]:
    """Two servers behind Envoy are restarted in turn, as an orchestrator does, while k6 asks them."""
    ports, rounds = [free_port(), free_port()], stage.count(1, 10)
    seconds = 6 + 9 * rounds

    def start(port: int) -> subprocess.Popen[str]:
        arguments = command(*engine_options({"concurrency": 16, "step": 0.02, "tokens": 10}))
        arguments[arguments.index("--port") + 1] = str(port)
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=BARE)
        running.append(process)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("a server did not start")
        return process

    running: list[subprocess.Popen[str]] = []
    try:
        servers = [start(port) for port in ports]
        with envoy.proxy(stage, ports) as proxied:
            with (
                loading(stage, proxied.address, kind="stream", question="?", seconds=seconds, users=8, rate=15) as one,
                loading(stage, proxied.address, kind="unary", question="?", seconds=seconds, users=8, rate=15) as other,
            ):
                time.sleep(2)
                for _ in range(rounds):
                    for number, port in enumerate(ports):
                        servers[number].send_signal(signal.SIGTERM)
                        code = servers[number].wait(30)
                        if code:
                            raise RuntimeError(f"a server ended with status {code}")
                        servers[number] = start(port)
                        eventually(lambda: proxied.healthy() == len(ports), 10)
                streams, calls = one.wait(), other.wait()
            done = streams.successes + calls.successes
            yield Measure("rolling restart behind Envoy: calls by k6", done, 20 * seconds, at_least=True, slack=1.5)
            failed = streams.failures + calls.failures
            words = f" ({one.words or other.words})" if failed else ""
            yield misses(f"rolling restart behind Envoy: calls that failed{words}", failed)
    finally:
        for process in running:
            end(process)


# -- R7 ----------------------------------------------------------------------------------------------------------------


def kills(stage: Stage) -> Iterator[Finding]:
    count = stage.count(5, 100)
    with stage.stub("--workers", str(WORKERS), "--max-restarts", "1000", concurrency=SIDE) as served:
        eventually(lambda: served.usable(WORKERS), 20)
        lost: list[Ended] = []
        others: list[Ended] = []
        backs = []
        for number in range(count):
            one, other, back = stage.do(_killed(served, number % WORKERS))
            lost += one
            others += other
            backs.append(back)
        yield Measure("workers killed", len(backs), count, at_least=True)
        yield Measure("streams of killed workers", len(lost), count * SIDE, at_least=True)
        wrong = [end for end in lost if (end.code, end.reason) != ("UNAVAILABLE", "WORKER_LOST")]
        yield misses("of them, ended otherwise than by UNAVAILABLE, WORKER_LOST", len(wrong))
        yield Measure("the last of them ended after", max(end.seconds for end in lost), 2, "s", slack=3)
        yield misses(f"of {len(others)} streams of the other worker, cut off", sum(end.code != "OK" for end in others))
        # A worker loads its model again, which the target allows beside the ten seconds.
        yield Measure("worker back after", max(backs), 10 + served.started, "s", slack=2)
        yield misses("front ended", int(served.process.poll() is not None))


async def _killed(served: Served, which: int) -> tuple[list[Ended], list[Ended], float]:
    """How the streams of the killed worker and those of the other end, and when the worker is back."""
    async with channel(served.address) as opened:
        streams = [streaming(opened, "tokens=60 step=0.02") for _ in range(WORKERS * SIDE)]
        for stream in streams:
            await begun(stream)
        victim = served.workers()[which]
        began = time.monotonic()
        victim.kill()

        async def seconds(stream: Any) -> Ended:
            end = await whole(stream)
            end.seconds = time.monotonic() - began
            return end

        ends = await asyncio.gather(*(seconds(stream) for stream in streams))

        def back() -> bool:
            return served.usable(WORKERS) and all(one.pid != victim.pid for one in served.workers())

        await asyncio.to_thread(eventually, back, 30)
        after = time.monotonic() - began
        again = await answer(opened, body("tokens=1"))
    if again.code != "OK":
        raise RuntimeError(f"after a worker came back: {again}")
    whole_ones = [end for end in ends if end.code == "OK"]
    return [end for end in ends if end.code != "OK"], whole_ones, after


# -- R8 ----------------------------------------------------------------------------------------------------------------


def out_of_memory(stage: Stage) -> Iterator[Finding]:
    count = stage.count(10, 200)
    with stage.stub("--worker-memory", "2GiB", concurrency=2) as served:
        before = [worker.pid for worker in served.workers()]
        ends, others = stage.do(_too_much(served, count))
        wrong = [end for end in ends if (end.code, end.reason) != ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY")]
        yield Measure("requests for more memory than there is", len(ends), count, at_least=True)
        yield misses("of them, ended otherwise than by RESOURCE_EXHAUSTED, OUT_OF_MEMORY", len(wrong))
        yield misses("requests beside them that failed", sum(end.code != "OK" for end in others))
        yield misses("workers lost by it", sum(not psutil.pid_exists(pid) for pid in before))


async def _too_much(served: Served, count: int) -> tuple[list[Ended], list[Ended]]:
    ends, others = [], []
    async with channel(served.address) as opened:
        for number in range(count):
            question = "memory=4000" if number % 2 else "fault=allocator"
            end, other = await asyncio.gather(
                answer(opened, body(question)), answer(opened, body("tokens=3 step=0.01"))
            )
            ends.append(end)
            others.append(other)
    return ends, others


TARGETS = (
    Target(
        "R6",
        "Stopping",
        stopping,
        "that nothing is truncated or fails is enforced, and 45 s; NOT_SERVING to 4 times its bound",
    ),
    Target(
        "R7",
        "Workers killed by SIGKILL",
        kills,
        "how calls end is enforced; when, to 3 times its bound, and the return of a worker to twice",
    ),
    Target("R8", "Workers without memory", out_of_memory),
)
