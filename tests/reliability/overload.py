"""R5: four times as much as can be served, and requests that are as large as the limits allow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from tests.reliability import large
from tests.reliability.asking import Ended, Probes, answer, body, channel, probing
from tests.reliability.stage import Served, Stage, misses, percentile
from tests.reliability.target import Finding, Measure, Target

SLOTS, QUESTION = 4, "tokens=5 step=0.02"
"""Forty requests a second: little beside what the front can pass on, so that the queue is what is measured."""
MAX_QUEUE_WAIT = 5.0


def overload(stage: Stage) -> Iterator[Finding]:
    seconds = stage.count(8, 60)
    with stage.stub(concurrency=SLOTS) as served:
        peak = stage.do(_peak(served, seconds / 2))
        ends, probes = stage.do(_excess(served, 4 * peak, seconds))
        admitted = [end for end in ends if end.code == "OK"]
        refused = [end for end in ends if end.code != "OK"]
        yield Measure("asked", len(ends) / seconds, 3.8 * peak, "/s", at_least=True, slack=1.3)
        yield Measure("answered", len(admitted) / seconds, 0.9 * peak, "/s", at_least=True, slack=1.25)
        yield Measure("refused", len(refused), 1, at_least=True)
        wrong = [end for end in refused if end.code != "RESOURCE_EXHAUSTED" or not end.retry]
        yield misses("refused otherwise than by RESOURCE_EXHAUSTED with RetryInfo", len(wrong))
        yield Measure("refusal p99", percentile([end.seconds for end in refused], 0.99) * 1000, 50, "ms", slack=8)
        waits = [end.response.usage.queue_seconds for end in admitted if end.response is not None]
        yield Measure("longest wait of one that was answered", max(waits), MAX_QUEUE_WAIT, "s")
        yield misses("health probes that were not told SERVING", probes.unhealthy)
    yield from large.beside_a_stub(stage)
    if not stage.short:
        yield from large.beside_a_model(stage)


async def _peak(served: Served, seconds: float) -> float:
    """Answers a second to as many callers as there are slots, and as many that wait."""
    end, count, packed = time.monotonic() + seconds, 0, body(QUESTION)

    async def ask(opened: object) -> None:
        nonlocal count
        while time.monotonic() < end:
            end_of_one = await answer(opened, packed)
            count += end_of_one.code == "OK"

    async with channel(served.address) as opened:
        await asyncio.gather(*(ask(opened) for _ in range(2 * SLOTS)))
    return count / seconds


async def _excess(served: Served, rate: float, seconds: float) -> tuple[list[Ended], Probes]:
    """Ask so many times a second, whatever becomes of it."""
    packed = body(QUESTION)
    async with channel(served.address) as opened, probing(served.address, every=0.05) as probes:
        began, asked = time.monotonic(), []
        while (passed := time.monotonic() - began) < seconds:
            while len(asked) < passed * rate:
                asked.append(asyncio.create_task(answer(opened, packed)))
            await asyncio.sleep(0.002)
        ends = await asyncio.gather(*asked)
    return list(ends), probes


TARGETS = (
    Target(
        "R5",
        "More than can be served",
        overload,
        "how excess is refused, the longest wait and health are enforced; the pace of answers to 1.25 times and of "
        "refusals to 8 times, because the one who asks shares the processors; times of and beside a large request to 3",
    ),
)
