"""The queue in front of the workers: who may run, who waits, who is refused, and that nothing is left behind."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from xmguard.deadline import Stop
from xmguard.errors import Cancelled, DeadlineExceeded, ErrorCode, Reason, SetupIncomplete, XmguardError
from xmguard_server import admission
from xmguard_server.admission import SOONEST, Admission
from xmguard_server.config import ServerConfig

CONFIG = ServerConfig(max_queue=4, max_queue_cost=1000, max_queue_wait=5.0, max_per_caller=3)


def queue(slots=1, told=lambda: None, **settings):
    made = Admission(replace(CONFIG, **settings), told)
    made.set_slots(slots)
    return made


@asynccontextmanager
async def place(made, cost=100, *, bare=10, caller="", timeout=None, may_skip=False):
    given, done = await made.place(cost, bare, caller, Stop(timeout), may_skip_evidence=may_skip), False
    try:
        yield given
        done = True
    finally:
        given.leave(done=done)


@asynccontextmanager
async def waiting(made, count, cost=100, caller=""):
    """So many requests that wait; they leave at the end."""
    stops = [asyncio.ensure_future(hold(made, cost, caller)) for _ in range(count)]
    await asyncio.sleep(0)
    try:
        yield stops
    finally:
        for one in stops:
            one.cancel()
        await asyncio.gather(*stops, return_exceptions=True)


async def hold(made, cost=100, caller="", order=None, name=None):
    async with place(made, cost, caller=caller):
        if order is not None:
            order.append(name)
        await asyncio.sleep(0 if order is not None else 3600)


async def refused(made, cost=100, **more):
    with pytest.raises(XmguardError) as caught:
        async with place(made, cost, **more):
            pass
    return caught.value


def empty(made):
    held = (made._waiting, made._running, made._of, made._turns)
    return not any(held) and (made.waiting, made.waiting_cost, made.running) == (0, 0, 0)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(admission, "time", SimpleNamespace(monotonic=lambda: self.now))


async def served(made, clock, seconds, cost=100):
    """One request that took so long."""
    async with place(made, cost):
        clock.now += seconds


async def test_a_free_slot_is_given_at_once():
    made = queue(2)
    async with place(made) as first, place(made) as second:
        assert first.waited == pytest.approx(0, abs=0.1)
        assert second.evidence
        assert (made.running, made.waiting) == (2, 0)
    assert empty(made)


def at_once(made, *, caller="", preparing=0):
    return made.at_once(caller, Stop(), preparing=preparing)


async def test_a_slot_that_nobody_is_to_have_first_is_given_before_the_cost_is_known():
    made = queue(2)
    first = at_once(made)
    assert (first.waited, first.evidence) == (pytest.approx(0, abs=0.1), True)
    assert at_once(made, preparing=1) is None  # the other slot is for the one that is being prepared
    second = at_once(made)
    assert at_once(made) is None
    assert (made.running, made.waiting) == (2, 0)
    second.leave(done=False)
    made.set_slots(1)
    async with waiting(made, 1):
        made.set_slots(2)
        made.set_slots(1)
        first.leave(done=False)
        assert made.running == 1
        assert at_once(made) is None
    assert empty(made)


async def test_who_is_let_in_at_once_is_counted_with_his_others():
    made = queue(9)
    held = [at_once(made, caller="greedy") for _ in range(3)]
    with pytest.raises(XmguardError) as caught:
        at_once(made, caller="greedy")
    assert caught.value.reason is Reason.CALLER_LIMIT
    assert at_once(made, caller="modest") is not None
    for one in held:
        one.leave(done=False)
    assert at_once(made, caller="greedy") is not None


async def test_what_is_told_late_is_counted_from_then_on(monkeypatch):
    made, clock = queue(max_queue_wait=1000), Clock(monkeypatch)
    await served(made, clock, seconds=2.0)
    let_in = at_once(made)
    let_in.told(300)  # six seconds at the measured pace
    assert isinstance(await refused(made, timeout=5.5), DeadlineExceeded)
    clock.now += 12.0
    let_in.leave(done=True)
    assert made._pace == pytest.approx(0.8 * 0.02 + 0.2 * 0.04)
    assert empty(made)


async def test_what_is_let_in_at_once_may_turn_out_too_large():
    made = queue()
    let_in = at_once(made)
    with pytest.raises(XmguardError) as caught:
        let_in.told(1001)
    assert caught.value.reason is Reason.REQUEST_TOO_LARGE
    let_in.leave(done=False)
    assert empty(made)


async def test_under_pressure_nobody_is_let_in_before_it_is_known_what_to_skip():
    made = queue(brownout_from=0.0, brownout_until=0.0)
    assert at_once(made) is None
    async with place(made, may_skip=True) as mine:
        assert not mine.evidence


async def test_one_caller_is_served_first_come_first_served():
    made, order = queue(), []
    async with place(made):
        tasks = [asyncio.ensure_future(hold(made, order=order, name=n)) for n in range(4)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]


async def test_callers_take_turns():
    made, order = queue(max_queue=8), []
    async with place(made, caller="a"):
        tasks = []
        for name in ("a1", "a2", "b1", "b2", "c1"):
            tasks.append(asyncio.ensure_future(hold(made, caller=name[0], order=order, name=name)))
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["b1", "c1", "a1", "b2", "a2"]
    assert empty(made)


async def test_a_caller_has_a_limit_and_others_go_on():
    made = queue(slots=2)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(place(made, caller="greedy"))
        async with waiting(made, 2, caller="greedy"):
            error = await refused(made, caller="greedy")
            assert (error.code, error.reason) == (ErrorCode.RESOURCE_EXHAUSTED, Reason.CALLER_LIMIT)
            assert error.retry_after == SOONEST
            async with waiting(made, 1, caller="modest"):
                assert made.waiting == 2
    assert empty(made)


async def test_callers_without_a_name_have_no_limit_of_their_own():
    made = queue(slots=9)
    async with AsyncExitStack() as stack:
        for _ in range(9):
            await stack.enter_async_context(place(made))


async def test_a_full_queue_refuses_before_anything_is_done():
    made = queue()
    async with place(made), waiting(made, 4):
        with pytest.raises(XmguardError, match="4 requests are waiting") as caught:
            made.refuse_if_full("", Stop())
        assert caught.value.reason is Reason.QUEUE_FULL
        assert (await refused(made)).reason is Reason.QUEUE_FULL
    made.refuse_if_full("", Stop())
    assert empty(made)


async def test_a_queue_full_of_tokens_refuses_what_does_not_fit():
    made = queue()
    async with place(made, 1000), waiting(made, 2, 400):
        assert made.waiting_cost == 800
        error = await refused(made, 300)
        assert error.reason is Reason.QUEUE_FULL
        assert error.retry_after
        async with waiting(made, 1, 200):
            assert made.waiting_cost == 1000
            with pytest.raises(XmguardError, match="1000 tokens"):
                made.refuse_if_full("", Stop())
    assert empty(made)


async def test_what_can_never_fit_is_refused_for_good():
    made = queue(slots=3)
    error = await refused(made, 1001)
    assert (error.code, error.reason) == (ErrorCode.RESOURCE_EXHAUSTED, Reason.REQUEST_TOO_LARGE)
    assert error.retry_after is None


async def test_nobody_waits_longer_than_the_limit():
    made = queue(max_queue_wait=0.02)
    async with place(made):
        error = await refused(made)
    assert (error.code, error.reason) == (ErrorCode.RESOURCE_EXHAUSTED, Reason.QUEUE_TIMEOUT)
    assert error.retry_after == SOONEST
    assert empty(made)


async def test_a_deadline_ends_the_wait():
    made = queue()
    async with place(made):
        assert isinstance(await refused(made, timeout=0.02), DeadlineExceeded)
    assert empty(made)


async def test_who_would_wait_too_long_is_refused_at_once(monkeypatch):
    made, clock = queue(), Clock(monkeypatch)
    await served(made, clock, seconds=2.0)
    async with place(made, 150):  # three seconds at the measured pace
        assert isinstance(await refused(made, timeout=2.5), DeadlineExceeded)
        async with waiting(made, 1, 150):
            error = await refused(made)
            assert error.reason is Reason.QUEUE_TIMEOUT
            assert error.retry_after == pytest.approx(1.0)
            clock.now += 1.5
            async with waiting(made, 1):
                assert made.waiting == 2
    assert empty(made)


async def test_when_to_come_back_follows_the_measured_pace(monkeypatch):
    made, clock = queue(max_queue=1, max_queue_wait=1000), Clock(monkeypatch)
    await served(made, clock, seconds=4.0)
    async with place(made, 300), waiting(made, 1):
        assert (await refused(made)).retry_after == pytest.approx(12.0)
        made.set_slots(2)
        async with waiting(made, 1):
            assert (await refused(made)).retry_after == pytest.approx(4.0)


async def test_the_pace_of_small_requests_says_nothing_of_large_ones(monkeypatch):
    made, clock = queue(max_queue_wait=1000), Clock(monkeypatch)
    await served(made, clock, seconds=2.0)
    await served(made, clock, seconds=1.8, cost=900)  # it ran far less than it might have
    async with place(made, 900):  # not the 15 s that it would be at the pace of all
        async with waiting(made, 1, 900):
            assert made.pressure == pytest.approx(0.9)  # of its tokens: they may all be run
            assert (await refused(made, cost=900)).retry_after == pytest.approx(1.8 * 800 / 900)  # when there is room
            assert isinstance(await refused(made, timeout=3.5), DeadlineExceeded)
        late = asyncio.ensure_future(made.place(100, 10, "", Stop(2.5), may_skip_evidence=False))
        await asyncio.sleep(0)
        assert made.waiting == 1
    (await late).leave(done=False)
    async with place(made, 100):
        assert isinstance(await refused(made, timeout=1.9), DeadlineExceeded)
    assert empty(made)


async def test_a_large_request_that_is_the_first_is_guessed_by_all_others(monkeypatch):
    made, clock = queue(max_queue_wait=1000), Clock(monkeypatch)
    await served(made, clock, seconds=2.0)
    async with place(made, 900):
        assert isinstance(await refused(made, timeout=17.5), DeadlineExceeded)


async def test_what_was_broken_off_tells_nothing_of_the_pace(monkeypatch):
    made, clock = queue(), Clock(monkeypatch)
    async with place(made):
        broken_off = asyncio.ensure_future(hold(made))
    await asyncio.sleep(0)
    clock.now += 50
    broken_off.cancel()
    await asyncio.gather(broken_off, return_exceptions=True)
    assert made._pace == 0


async def test_slots_come_and_go():
    made = queue(0)
    async with waiting(made, 3):
        assert (made.running, made.waiting) == (0, 3)
        made.set_slots(2)
        assert (made.running, made.waiting) == (2, 1)
        made.set_slots(1)
        assert made.running == 2
    assert empty(made)
    async with place(made), waiting(made, 1):
        assert made.waiting == 1


async def test_a_slot_that_is_free_is_not_given_above_a_lower_limit():
    made = queue(2)
    async with place(made):
        async with place(made):
            made.set_slots(1)
            async with waiting(made, 1):
                pass
        async with waiting(made, 1):
            assert made.running == 1


async def test_draining_serves_what_waits_and_closing_does_not():
    made, order = queue(), []
    async with place(made):
        task = asyncio.ensure_future(hold(made, order=order, name="old"))
        await asyncio.sleep(0)
        made.drain()
        error = await refused(made)
        assert (error.code, error.reason) == (ErrorCode.UNAVAILABLE, Reason.SHUTTING_DOWN)
    await task
    assert order == ["old"]
    made = queue()
    async with place(made), waiting(made, 1) as (late,):
        made.close()
        with pytest.raises(XmguardError) as caught:
            await late
        assert caught.value.reason is Reason.SHUTTING_DOWN
    assert empty(made)


async def test_a_stop_that_was_cancelled_in_the_queue_does_not_run():
    made, stop = queue(), Stop()
    async with place(made):
        late = asyncio.ensure_future(made.place(1, 1, "", stop, may_skip_evidence=False))
        await asyncio.sleep(0)
        stop.cancel()
    with pytest.raises(Cancelled):
        await late
    assert empty(made)


async def test_brownout_begins_at_one_mark_and_ends_at_another():
    told = []
    made = queue(told=lambda: told.append(1))
    async with place(made):
        async with waiting(made, 1):
            assert (made.pressure, made.browned_out) == (0.25, False)
            async with waiting(made, 1):
                assert (made.pressure, made.browned_out) == (0.5, True)
            assert (made.pressure, made.browned_out) == (0.25, True)
        assert (made.pressure, made.browned_out) == (0.0, False)
    assert not told


async def test_under_pressure_only_those_who_allow_it_lose_their_evidence():
    told = []
    made = queue(told=lambda: told.append(1))
    given = []

    async def take(may_skip):
        async with place(made, 100, bare=10, may_skip=may_skip) as mine:
            given.append((may_skip, mine.evidence))

    async with place(made), waiting(made, 2):
        tasks = [asyncio.ensure_future(take(may_skip)) for may_skip in (True, False)]
        await asyncio.sleep(0)
        assert made.waiting_cost == 2 * 100 + 10 + 100
    await asyncio.gather(*tasks)
    assert given == [(True, False), (False, True)]
    assert told == [1]


async def test_pressure_is_of_the_nearest_bound(monkeypatch):
    made, clock = queue(), Clock(monkeypatch)
    async with place(made), waiting(made, 1, 700):
        assert made.pressure == pytest.approx(0.7)
    made = queue()
    await served(made, clock, seconds=4.0)
    async with place(made, 1), waiting(made, 1):
        assert made.pressure == pytest.approx(0.8)


def test_marks_in_the_wrong_order_are_refused():
    with pytest.raises(SetupIncomplete, match=r"--brownout-until 0\.6 is above --brownout-from 0\.5"):
        replace(CONFIG, brownout_until=0.6)
