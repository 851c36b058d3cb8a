"""Who may run now, who waits, and who is told to come back: a bounded queue in tokens and in requests.

Callers take turns: a free slot goes to the caller who was given one longest ago, and a caller's own requests are served
first come, first served. Where nobody has to say who he is there is one caller, and the queue is first in, first out.

Pressure is the share that is used of whichever bound is nearest: requests that wait, their tokens, or the seconds of
work that they are. From `brownout_from` on, until it has fallen below `brownout_until`, those who allow it are served
without evidence; what waits already keeps its own.

Seconds are guessed from the pace of what was served before and had about the same cost. A cost is what may be run at
most, and how much of it is run depends on its size: nearly all of what two spans take, but a small part of what 64 take
that mostly agree. At the pace of small requests such a one would seem to keep all others waiting for minutes.

Lives in one event loop, and is not safe in others. Knows no transport, no model and no worker: slots are given from
outside.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from xmguard.deadline import Stop
from xmguard.errors import DeadlineExceeded, ErrorCode, Reason, XmguardError
from xmguard_server.config import ServerConfig

WITHOUT_EVIDENCE = "The server is under pressure, so the spans were not read alone; ask again later for a verdict."
"""What a verdict that was skipped says."""
SOONEST, LATEST = 1.0, 60.0
"""Seconds after which callers are told to come back, at least and at most."""
_NEWEST = 0.2
"""Weight of the newest request in the measured pace."""


class Place:
    """What was given to a request: a slot of its own, until `leave`."""

    def __init__(self, admission: Admission, ticket: _Ticket) -> None:
        self.waited = ticket.begun - ticket.entered
        """Seconds in the queue."""
        self.evidence = ticket.evidence
        """Whether its evidence is to be gathered; without it the verdict says `WITHOUT_EVIDENCE`."""
        self._admission = admission
        self._ticket = ticket

    def told(self, cost: int) -> None:
        """Say what a request takes that was let in before that was known (`Admission.at_once`).

        Raises:
            XmguardError: REQUEST_TOO_LARGE.
        """
        self._admission._refuse_too_large(cost)
        self._ticket.cost = cost

    def leave(self, *, done: bool) -> None:
        """Give the slot back, once; only a request that was `done` tells how long a token takes."""
        self._admission._leave(self._ticket, done=done)


@dataclass(eq=False)
class _Ticket:
    cost: int
    caller: str
    evidence: bool
    entered: float
    admitted: asyncio.Future[None]
    begun: float = field(default=0.0)


class Admission:
    """The queue in front of the workers."""

    def __init__(self, config: ServerConfig, browned_out: Callable[[], None] = lambda: None) -> None:
        """`browned_out` hears of every request that is to be served without evidence."""
        self._config = config
        self._tell_browned_out = browned_out
        self._slots = 0
        self._waiting: dict[str, dict[_Ticket, None]] = {}  # by caller, in order
        self._running: set[_Ticket] = set()
        self._of: Counter[str] = Counter()
        self._turns: dict[str, int] = {}
        self._turn = 0
        self._queued = 0
        self._queued_cost: Counter[int] = Counter()  # by size of the request
        self._pace: float | None = None
        self._paces: dict[int, float] = {}  # by size of the request
        self._browned_out = False
        self._draining = False

    # -- what can be looked at ---------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether what comes now is served: there are slots, and nothing is ending."""
        return self._slots > 0 and not self._draining

    @property
    def running(self) -> int:
        """Requests that have a slot."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queued

    @property
    def waiting_cost(self) -> int:
        """Tokens of the requests in the queue, at most."""
        return self._queued_cost.total()

    @property
    def pressure(self) -> float:
        """Share used of the bound that is nearest; 0 while a slot is free."""
        config = self._config
        if self.running < self._slots:
            return 0.0
        seconds = self._queued_seconds / max(1, self._slots)
        requests = self._queued / config.max_queue if config.max_queue else 0.0
        return max(requests, self.waiting_cost / config.max_queue_cost, seconds / config.max_queue_wait)

    @property
    def browned_out(self) -> bool:
        """Whether those who allow it are served without evidence."""
        return self._browned_out

    # -- what is done from outside -----------------------------------------------------------------------------------

    def set_slots(self, slots: int) -> None:
        """Run so many requests at once from now on; those that run beyond it are finished."""
        self._slots = slots
        self._serve()

    def drain(self) -> None:
        """Refuse what is new; what waits is still served."""
        self._draining = True

    def close(self) -> None:
        """Refuse what waits as well."""
        self._draining = True
        for ticket in [ticket for own in self._waiting.values() for ticket in own]:
            if not ticket.admitted.done():
                ticket.admitted.set_exception(shutting_down())

    def refuse_if_full(self, caller: str, stop: Stop, *, preparing: int = 0) -> None:
        """Refuse a request of whatever cost, before anything is done for it.

        `preparing` are requests that will come to the queue, and are not there yet.

        Raises:
            XmguardError: what `place` would raise now.
        """
        limit = self._config.max_per_caller
        if self._draining:
            raise shutting_down()
        if caller and limit and self._of[caller] >= limit:
            raise self._refusal(
                Reason.CALLER_LIMIT,
                f"{self._of[caller]} of your requests are being served, which is the limit",
                self._mean_seconds,
            )
        free = max(0, self._slots - self.running)
        if preparing < free:
            return
        if self._queued + preparing - free >= self._config.max_queue:
            raise self._refusal(
                Reason.QUEUE_FULL, f"{self._queued} requests are waiting, which is the limit", self._mean_seconds
            )
        if self.waiting_cost >= self._config.max_queue_cost:
            raise self._full_of_tokens(self._mean_seconds)
        self._refuse_the_hopeless(stop)

    def at_once(self, caller: str, stop: Stop, *, preparing: int) -> Place | None:
        """A place for a request whose cost is not known yet, if a slot is free that nobody was to have before it.

        What it costs is to be said (`Place.told`) as soon as it is known. `preparing` is as in `refuse_if_full`.

        Raises:
            XmguardError: what `refuse_if_full` raises.
        """
        self.refuse_if_full(caller, stop, preparing=preparing)
        self._judge_pressure()
        if self._queued or self._browned_out or self.running + preparing >= self._slots:
            return None
        ticket = self._ticket(0, caller, evidence=True)
        self._admit(ticket)
        return Place(self, ticket)

    async def place(
        self, cost: int, cost_without_evidence: int, caller: str, stop: Stop, *, may_skip_evidence: bool
    ) -> Place:
        """Wait for a place. It is kept until it is left (`Place.leave`).

        Args:
            cost: tokens that the request runs at most.
            cost_without_evidence: the same without its evidence.
            caller: whose request it is; empty where nobody has to say, and then nobody has a limit of his own.
            stop: its deadline, and whether it still wants an answer.
            may_skip_evidence: whether it can be served without its evidence.

        Raises:
            XmguardError: RESOURCE_EXHAUSTED, for the reasons REQUEST_TOO_LARGE (never ask again), QUEUE_FULL,
                CALLER_LIMIT and QUEUE_TIMEOUT (with `retry_after`); UNAVAILABLE when the server is shutting down.
            DeadlineExceeded: the deadline would pass in the queue, or did.
            Cancelled: `stop` says so when its turn comes.
        """
        self._judge_pressure()
        skips = may_skip_evidence and self._browned_out
        ticket = self._enter(cost_without_evidence if skips else cost, caller, not skips, stop)
        try:
            await self._turn_of(ticket, stop)
        except BaseException:  # a caller who goes away is seen as one of several exceptions
            self._leave(ticket, done=False)
            raise
        if skips:
            self._tell_browned_out()
        return Place(self, ticket)

    # -- the queue ---------------------------------------------------------------------------------------------------

    def _enter(self, cost: int, caller: str, evidence: bool, stop: Stop) -> _Ticket:
        """Take a request in, or refuse it at once."""
        config = self._config
        self._refuse_too_large(cost)
        self.refuse_if_full(caller, stop)
        beyond = self.waiting_cost + cost - config.max_queue_cost
        if self.running >= self._slots and beyond > 0:
            raise self._full_of_tokens(self._queued_seconds * beyond / self.waiting_cost)
        ticket = self._ticket(cost, caller, evidence=evidence)
        self._waiting.setdefault(caller, {})[ticket] = None
        self._queued += 1
        self._queued_cost[_size(cost)] += cost
        self._serve()
        return ticket

    def _refuse_too_large(self, cost: int) -> None:
        if cost > self._config.max_queue_cost:
            raise XmguardError(
                f"the request takes up to {cost} tokens, with everything that is read for its verdict; "
                f"at most {self._config.max_queue_cost} are taken; send fewer or shorter spans",
                code=ErrorCode.RESOURCE_EXHAUSTED,
                reason=Reason.REQUEST_TOO_LARGE,
            )

    def _ticket(self, cost: int, caller: str, *, evidence: bool) -> _Ticket:
        self._of[caller] += 1
        return _Ticket(cost, caller, evidence, time.monotonic(), asyncio.get_running_loop().create_future())

    def _refuse_the_hopeless(self, stop: Stop) -> None:
        """Refuse at once who would wait in vain, as far as the pace tells."""
        ahead, remaining = self._seconds_ahead(), stop.remaining()
        if ahead is None:
            return
        if remaining is not None and ahead > remaining:
            raise DeadlineExceeded(
                f"the wait is about {ahead:.1f} s and the deadline {remaining:.1f} s away; allow more, or ask later"
            )
        if ahead > self._config.max_queue_wait:
            late = ahead - self._config.max_queue_wait
            raise self._refused_after(Reason.QUEUE_TIMEOUT, f"the wait would be about {ahead:.0f} s", late)

    async def _turn_of(self, ticket: _Ticket, stop: Stop) -> None:
        remaining, longest = stop.remaining(), self._config.max_queue_wait
        try:
            async with asyncio.timeout(longest if remaining is None else min(longest, remaining)):
                await ticket.admitted
        except TimeoutError as error:
            if remaining is not None and remaining <= longest:
                raise DeadlineExceeded("the deadline passed while the request waited") from error
            why = f"no place was free within {longest:g} s"
            raise self._refusal(Reason.QUEUE_TIMEOUT, why, self._mean_seconds) from error
        stop.check()

    def _serve(self) -> None:
        """Give free slots to whose turn it is."""
        while self.running < self._slots and self._waiting:
            first = {caller: next(iter(own)) for caller, own in self._waiting.items()}
            caller = min(first, key=lambda one: (self._turns.get(one, 0), first[one].entered))
            ticket = first[caller]
            self._unqueue(ticket)
            if ticket.admitted.done():  # it has given up, and is about to leave
                continue
            self._admit(ticket)
        self._judge_pressure()

    def _admit(self, ticket: _Ticket) -> None:
        self._turn += 1
        self._turns[ticket.caller] = self._turn
        self._running.add(ticket)
        ticket.begun = time.monotonic()
        ticket.admitted.set_result(None)

    def _leave(self, ticket: _Ticket, *, done: bool) -> None:
        """Forget a request, wherever it is."""
        if ticket in self._running:
            self._running.remove(ticket)
            if done:
                self._learn(ticket)
        elif ticket in self._waiting.get(ticket.caller, ()):
            self._unqueue(ticket)
        self._of[ticket.caller] -= 1
        if not self._of[ticket.caller]:
            del self._of[ticket.caller]
        self._serve()
        if not self._of:
            self._turns.clear()

    def _unqueue(self, ticket: _Ticket) -> None:
        own = self._waiting[ticket.caller]
        del own[ticket]
        if not own:
            del self._waiting[ticket.caller]
        self._queued -= 1
        self._queued_cost[_size(ticket.cost)] -= ticket.cost

    def _judge_pressure(self) -> None:
        """Between the two marks it stays as it is, so that it does not flicker."""
        mark = self._config.brownout_until if self._browned_out else self._config.brownout_from
        self._browned_out = self.pressure >= mark

    # -- how long it takes -------------------------------------------------------------------------------------------

    def _learn(self, ticket: _Ticket) -> None:
        """Seconds for a token of the cost in one slot, while the others are as busy as they were."""
        seen, size = (time.monotonic() - ticket.begun) / max(1, ticket.cost), _size(ticket.cost)
        self._pace = _moved(self._pace, seen)
        self._paces[size] = _moved(self._paces.get(size), seen)

    def _pace_of(self, size: int) -> float:
        """That of requests of such a size, or of all while none was measured; 0 while nothing was."""
        return self._paces.get(size, self._pace or 0.0)

    def _seconds(self, ticket: _Ticket) -> float:
        """A request is guessed to take."""
        return ticket.cost * self._pace_of(_size(ticket.cost))

    @property
    def _queued_seconds(self) -> float:
        """Of work that waits, if there were one slot."""
        queued = tuple(self._queued_cost.items())  # at once: a scrape reads it from another thread
        return sum(cost * self._pace_of(size) for size, cost in queued)

    def _seconds_ahead(self) -> float | None:
        """Until the next request would have a slot; None while nothing was measured or nothing runs."""
        if self._pace is None or not self._slots:
            return None
        now = time.monotonic()
        left = sum(max(0.0, self._seconds(one) - (now - one.begun)) for one in self._running)
        return (left + self._queued_seconds) / self._slots

    @property
    def _mean_seconds(self) -> float:
        """Of one request among those that run."""
        return sum(map(self._seconds, self._running)) / max(1, self.running)

    def _refusal(self, reason: Reason, why: str, work: float) -> XmguardError:
        """The error for who may come back when so many seconds of work have been done."""
        return self._refused_after(reason, why, work / max(1, self._slots))

    def _full_of_tokens(self, work: float) -> XmguardError:
        limit = self._config.max_queue_cost
        return self._refusal(
            Reason.QUEUE_FULL, f"requests of {self.waiting_cost} tokens are waiting; the limit is {limit}", work
        )

    @staticmethod
    def _refused_after(reason: Reason, why: str, seconds: float) -> XmguardError:
        delay = min(max(SOONEST, seconds), LATEST)
        return XmguardError(
            f"{why}; ask again in {delay:.0f} s", code=ErrorCode.RESOURCE_EXHAUSTED, reason=reason, retry_after=delay
        )


def _size(cost: int) -> int:
    """Requests of one size differ in cost by less than a factor of two."""
    return cost.bit_length()


def _moved(mean: float | None, seen: float) -> float:
    """A mean after one more was seen."""
    return seen if mean is None else mean + _NEWEST * (seen - mean)


def shutting_down() -> XmguardError:
    """What is told to callers whom a stopping server does not serve."""
    return XmguardError(
        "the server is shutting down; ask another one", code=ErrorCode.UNAVAILABLE, reason=Reason.SHUTTING_DOWN
    )
