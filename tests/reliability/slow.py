"""R14: readers that hardly read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from tests.reliability.asking import answer, begun, body, channel, streaming
from tests.reliability.stage import MIB, Served, Stage, memory, misses, percentile
from tests.reliability.target import Finding, Measure, Target
from tests.scripted import eventually

SLOW = 64
ANSWER = "tokens=500 size=400"
"""More than the windows of HTTP/2 hold, so that most of it waits in the front."""
QUICK = "tokens=2 step=0.005"
SEND_TIMEOUT = 2.0


def slow_readers(stage: Stage) -> Iterator[Finding]:
    seconds = stage.count(6, 120)
    with stage.stub("--max-queue", "256", concurrency=SLOW + 8) as served:
        alone, beside, grown, read = stage.do(_beside(served, seconds))

        def of_alone(share: float) -> float:
            return 100 * percentile(beside, share) / percentile(alone, share)

        yield Measure(f"events read by {SLOW} slow readers", read, SLOW * 3, at_least=True)
        yield Measure("growth of the front by them", grown / MIB, 64, "MiB")
        yield Measure("median of others beside them, of what it was", of_alone(0.5), 120, "%", slack=3)
        yield Measure("p99 of others beside them, of what it was", of_alone(0.99), 120, "%", slack=5)
    with stage.stub("--send-timeout", str(SEND_TIMEOUT), concurrency=4) as served:
        seconds_to, code = stage.do(_stalled(served))
        yield Measure("a reader that stalls is left after", seconds_to, SEND_TIMEOUT + 1, "s", slack=3)
        yield misses("and is told otherwise than CANCELLED", int(code != "CANCELLED"))


async def _beside(served: Served, seconds: float) -> tuple[list[float], list[float], float, int]:
    """Times of others without and with slow readers, growth of the front in bytes, and events that those read."""
    async with channel(served.address) as others:
        await _quick(others, 1)
        alone = await _quick(others, seconds)
        before, read = memory(served.front), 0
        stop = asyncio.Event()

        async def slowly() -> None:
            nonlocal read
            async with channel(served.address) as opened:
                stream = streaming(opened, ANSWER, timeout=300)
                async for _ in stream:
                    read += 1
                    try:
                        await asyncio.wait_for(stop.wait(), 1)
                    except TimeoutError:
                        continue
                    break
                stream.cancel()

        readers = [asyncio.create_task(slowly()) for _ in range(SLOW)]
        # The model does not wait for them. Others are compared once it has nothing else to do.
        await asyncio.sleep(1)
        await asyncio.to_thread(eventually, served.idle, 60)
        beside = await _quick(others, seconds)
        grown = memory(served.front) - before
        stop.set()
        await asyncio.gather(*readers, return_exceptions=True)
    return alone, beside, grown, read


async def _quick(opened: Any, seconds: float) -> list[float]:
    """Times of calls, one after another."""
    packed, end, times = body(QUICK), time.monotonic() + seconds, []
    while time.monotonic() < end:
        done = await answer(opened, packed)
        if done.code != "OK":
            raise RuntimeError(f"a call beside slow readers ended with {done}")
        times.append(done.seconds)
    return times


async def _stalled(served: Served) -> tuple[float, str]:
    """Seconds until a stream that nobody reads is counted as cancelled, and its code there."""
    line = 'xmguard_requests_total{code="CANCELLED",method="StreamAnswer"}'
    async with channel(served.address) as opened:
        stream = streaming(opened, "tokens=500 size=100000")
        await begun(stream)
        began = time.monotonic()
        while time.monotonic() < began + 20:
            try:
                if await asyncio.to_thread(served.metric, line):
                    return time.monotonic() - began, "CANCELLED"
            except LookupError:
                pass
            await asyncio.sleep(0.05)
        stream.cancel()
    return time.monotonic() - began, ""


TARGETS = (
    Target(
        "R14",
        "Readers that hardly read",
        slow_readers,
        "memory and the end of a stalled stream are enforced, the time to it to 3 times; others' median "
        "to 3 times and their p99 to 5: it is the worst of a few hundred calls, and on a busy machine "
        "so far apart without any slow reader",
    ),
)
