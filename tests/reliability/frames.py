"""R1 and R2: what a call costs beside the model, and whether health answers while the model computes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import psutil

from tests.reliability.asking import Probes, channel, probing, streaming, whole
from tests.reliability.k6load import load
from tests.reliability.stage import Absent, Served, Stage, misses, percentile
from tests.reliability.target import Finding, Measure, Skip, Target
from tests.scripted import eventually

QUICK = "tokens=1"
"""An answer that takes the model no time."""


def overhead(stage: Stage) -> Iterator[Finding]:
    seconds = stage.count(5, 60)
    with stage.stub(concurrency=4) as served:
        try:
            load(stage, served.address, kind="unary", question=QUICK, seconds=2)  # to be warm
            before = _processor([served.front])
            unary = load(stage, served.address, kind="unary", question=QUICK, seconds=seconds)
            used = _processor([served.front]) - before
        except Absent as absent:
            yield Skip("calls by k6", str(absent))
            return
        yield Measure("unary p50, 4 users", unary.durations["med"], 4, "ms", slack=6)
        yield Measure("unary p99, 4 users", unary.durations["p(99)"], 25, "ms", slack=6)
        yield Measure("unary calls", unary.per_second, 800, "/s", at_least=True, slack=8)
        # What 800 a second leave to a front that has one core; unlike the others it hardly depends on what else runs.
        yield Measure("processor time of the front for a call", 1000 * used / unary.successes, 1.25, "ms", slack=4)
        yield misses("unary calls that failed", unary.failures)
        streams = load(stage, served.address, kind="stream", question=QUICK, seconds=seconds)
        yield Measure("first event of a stream p99, 4 users", streams.first["p(99)"], 15, "ms", slack=10)
        yield misses("streams that failed", streams.failures)


def health_under_load(stage: Stage) -> Iterator[Finding]:
    seconds = stage.count(5, 60)
    with stage.stub("--workers", "2", concurrency=1, busy=1, step=0.02) as served:
        eventually(lambda: served.usable(2), 20)
        used, probes = stage.do(_probe(served, "tokens=100000", 2, seconds))
        # Proves that there was something to be disturbed by; on a machine with other work it cannot be two cores.
        yield Measure("processor time of the workers meanwhile", used / seconds, 0.5, "cores", at_least=True)
        yield from _health("stub", probes)
    try:
        with stage.real() as served:
            _, probes = stage.do(_probe(served, "How much did it rise, and what do both sources say?", 1, seconds))
            yield from _health("SmolLM2", probes)
    except RuntimeError as error:
        yield Skip("SmolLM2", str(error).splitlines()[-1])


def _health(who: str, probes: Probes) -> Iterator[Finding]:
    yield Measure(f"{who}: health p99", percentile(probes.seconds, 0.99) * 1000, 50, "ms", slack=6)
    yield Measure(f"{who}: health slowest", max(probes.seconds) * 1000, 250, "ms", slack=6)
    yield misses(f"{who}: probes that were not told SERVING", probes.unhealthy)


async def _probe(served: Served, question: str, streams: int, seconds: float) -> tuple[float, Probes]:
    """Processor seconds of the workers, and the probes, while so many streams run one after the other."""

    async def keep(opened: object) -> None:
        while True:
            await whole(streaming(opened, question))

    async with channel(served.address) as opened:
        keeping = [asyncio.create_task(keep(opened)) for _ in range(streams)]
        await asyncio.sleep(0.5)
        before = _processor(served.workers())
        async with probing(served.address) as probes:
            began = time.monotonic()
            await asyncio.sleep(seconds)
        used = (_processor(served.workers()) - before) / (time.monotonic() - began) * seconds
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
    return used, probes


def _processor(workers: list[psutil.Process]) -> float:
    times = [worker.cpu_times() for worker in workers]
    return sum(one.user + one.system for one in times)


TARGETS = (
    Target(
        "R1",
        "Overhead of a call",
        overhead,
        "failures are enforced; times to 6 to 10 times their bound, because they were set for two idle cores that k6, "
        "the front and the worker already share",
    ),
    Target(
        "R2",
        "Health while the model computes",
        health_under_load,
        "what health says is enforced; times to 6 times their bound, which is still far from what a front that "
        "computes itself would take",
    ),
)
