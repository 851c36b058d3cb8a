"""The part of R5 about one request as large as the limits allow: 64 spans to check, and others beside it.

What it is admitted with is a bound, far above what it runs when the spans agree. That must refuse nobody who would have
been served in time, and must not let in what cannot be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from tests.reliability.asking import Ended, answer, body, channel
from tests.reliability.stage import Served, Stage, misses, percentile
from tests.reliability.target import Finding, Measure, Skip
from tests.scripted import REQUEST, eventually
from xmguard import wire
from xmguard.request import AnswerRequest, Decoding
from xmguard.span import Span

SPANS = 64
STEPS, STEP = 50, 0.02
COST = 200_000
LARGE = f"tokens={STEPS} step={STEP} cost={COST} evidence=7000"
"""To the stub: about as much below its cost as SmolLM2 runs for as many short texts that agree."""
SMALL, CALLERS = "tokens=2 step=0.005", 3
"""One after another by so many callers. At their pace the large one would take 20 s and more."""
SLOTS = 2
DEADLINE = 290.0


@dataclass(frozen=True)
class _Seen:
    admitted: float
    alone: Ended
    """The large one without others."""
    before: list[Ended]
    """Small ones without it."""
    beside: list[Ended]
    others: list[Ended]
    """Large ones that take all places, and one that waits for one of them."""
    refused: Ended
    """One more."""


def beside_a_stub(stage: Stage) -> Iterator[Finding]:
    """With a slot left for others, which is where they must not wait for it."""
    asked = wire.CHECK.pack_request(_checked(replace(REQUEST, question=LARGE)))
    with stage.stub("--max-queue-cost", str(COST), concurrency=SLOTS) as served:
        seen = stage.do(_load(served, asked, body(SMALL), SLOTS, stage.count(1, 20)))
    yield from _large(seen, STEPS * STEP * 1.25)
    before, beside = ([one.seconds for one in ends] for ends in (seen.before, seen.beside))
    # Half of the slots are theirs while it runs, so twice as long; and half as much again, as it is the worst of few.
    share = 100 * percentile(beside, 0.99) / percentile(before, 0.99)
    yield Measure("p99 of small ones beside it, of what it was", share, 100 * SLOTS * 1.5, "%", slack=3)
    yield from _refused(seen)


def beside_a_model(stage: Stage) -> Iterator[Finding]:
    """With one slot, as the engine on a CPU has it: others wait until it is done, and no longer."""
    question, texts = "What time does the ferry to Ransey leave?", "The ferry to Ransey leaves at 8:15."
    request = AnswerRequest(spans=(Span(text=texts, language="en"),) * 2, question=question)
    large = wire.CHECK.pack_request(_checked(request))
    small = wire.ANSWER.pack_request(replace(request, decoding=Decoding(max_tokens=4)))
    try:
        with stage.real() as served:
            cost, _ = stage.do(_alone(served, large))
    except RuntimeError as error:
        yield Skip("SmolLM2: a large request", str(error).splitlines()[-1])
        return
    with stage.real("--max-queue-cost", f"{cost:.0f}", "--max-queue-wait", str(DEADLINE)) as served:
        seen = stage.do(_load(served, large, small, 1, 20))
    yield from _large(seen, 60, "SmolLM2: ")  # what a caller has who sets no deadline
    one = percentile([end.seconds for end in seen.before], 0.99) / CALLERS
    slowest = percentile([end.seconds for end in seen.beside], 0.99)
    # All of it, then each small one in its turn; and a quarter more.
    last = 1.25 * (seen.alone.seconds + CALLERS * one)
    yield Measure("SmolLM2: p99 of small ones beside it", slowest, last, "s")
    yield from _refused(seen, "SmolLM2: ")


def _large(seen: _Seen, seconds: float, who: str = "") -> Iterator[Finding]:
    assert seen.alone.response is not None
    run = seen.alone.response.usage.tokens
    yield Measure(f"{who}tokens run of those that a Check of {SPANS} spans is admitted with", run, seen.admitted)
    yield Measure(f"{who}it takes", seen.alone.seconds, seconds, "s", slack=3)
    yield Measure(f"{who}small requests beside it", len(seen.beside), CALLERS, at_least=True)
    yield misses(f"{who}of them, not answered", sum(end.code != "OK" for end in seen.beside))


def _refused(seen: _Seen, who: str = "") -> Iterator[Finding]:
    yield misses(f"{who}large ones that fit, not answered", sum(end.code != "OK" for end in seen.others))
    end = seen.refused
    yield Measure(f"{who}one more, which does not fit, is refused after", end.seconds * 1000, 50, "ms", slack=8)
    told = (end.code, end.reason, end.retry) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL", True)
    yield misses(f"{who}and otherwise than by RESOURCE_EXHAUSTED, QUEUE_FULL with RetryInfo", int(not told))


def _checked(request: AnswerRequest) -> AnswerRequest:
    """With as many spans as the limits allow, which say the same."""
    return replace(request, spans=tuple(replace(request.spans[0], id=f"s{number}") for number in range(SPANS)))


async def _alone(served: Served, large: bytes) -> tuple[float, Ended]:
    """What the large one is admitted with, and how it ends."""
    before = served.metric("xmguard_admitted_tokens_total")
    async with channel(served.address) as opened:
        end = await answer(opened, large, DEADLINE, wire.CHECK)
    if end.code != "OK":
        raise RuntimeError(f"a Check of {SPANS} spans ended with {end}: {end.words}")
    return served.metric("xmguard_admitted_tokens_total") - before, end


async def _load(served: Served, large: bytes, small: bytes, slots: int, seconds: float) -> _Seen:
    """Ask the large one alone, beside small ones, and more often than there is room for."""
    async with channel(served.address) as opened:
        ask = partial(answer, opened, large, DEADLINE, wire.CHECK)
        admitted, alone = await _alone(served, large)
        over = asyncio.get_running_loop().time() + seconds
        before = await _small(opened, small, lambda: asyncio.get_running_loop().time() > over)
        first = asyncio.create_task(ask())
        await _until(served, running=1)
        beside = await _small(opened, small, first.done)
        holding = [asyncio.create_task(ask()) for _ in range(slots)]
        await _until(served, running=slots)
        waiting = asyncio.create_task(ask())
        await _until(served, running=slots, waiting=1)
        refused = await ask()
        others = await asyncio.gather(first, *holding, waiting)
    return _Seen(admitted, alone, before, beside, list(others), refused)


async def _small(opened: Any, packed: bytes, over: Callable[[], bool]) -> list[Ended]:
    ends: list[Ended] = []

    async def keep() -> None:
        while not over():
            ends.append(await answer(opened, packed, DEADLINE))
            if ends[-1].code != "OK":
                return  # it would only be asked again and again

    await asyncio.gather(*(keep() for _ in range(CALLERS)))
    return ends


async def _until(served: Served, *, running: int, waiting: int = 0) -> None:
    def so() -> bool:
        told = [served.metric(f"xmguard_requests_{which}") for which in ("running", "waiting")]
        return told == [running, waiting]

    await asyncio.to_thread(eventually, so, 20)
