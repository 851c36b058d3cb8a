"""The front's end of the link to one worker: calls go out, responses come in, signs of life are noted.

Bytes of requests and responses are passed through. Decides nothing: whether the worker is still good, and which worker
gets a call, is for the pool.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Protocol

from xmguard import wire
from xmguard.contracts import GuardEvent
from xmguard.deadline import Stop
from xmguard.errors import DeadlineExceeded, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import ModelInfo
from xmguard.steps import Step, StepTime
from xmguard_server.workers.link import Frames, Kind, Message, error_of
from xmguard_server.workers.suspects import Asked

GuardMethod = wire.Method[AnswerRequest, Any]
"""A method that runs the guard: Answer, StreamAnswer or Check."""


@dataclass(frozen=True)
class Size:
    """What a prepared call costs, in tokens at most."""

    cost: int
    cost_without_evidence: int
    may_skip_evidence: bool
    """Whether its request allows to serve it without a verdict."""


@dataclass(frozen=True)
class AtOnce:
    """That a call is to be run as soon as it is prepared, because there is a place for it already."""

    within: int
    """If it costs no more tokens than this."""
    tell: Callable[[int], None]
    """Hears what it costs; raises XmguardError if that is too much."""


class Hearing(Protocol):
    """Who is told what workers say of themselves."""

    def progress(self, step: str) -> None:
        """A step of loading."""

    def finished(self, event: GuardEvent) -> None:
        """A call was answered. What it asked stays in the worker: the event's request is empty."""


class RemoteCall:
    """One call on one worker."""

    def __init__(
        self,
        worker: Remote,
        number: int,
        method: GuardMethod,
        asked: Asked,
        seconds: float | None,
        at_once: AtOnce | None,
    ) -> None:
        """`seconds` until its deadline, if it has one."""
        self.worker = worker
        self.number = number
        self.method = method
        self.asked = asked
        self.prepared = False
        self.admitted = at_once is not None
        self.over = False
        """Whether the worker has let go of it."""
        self.context = copy_context()
        """Of the call, for those who are told that it was answered."""
        self._at_once = at_once
        self._told: asyncio.Queue[Message | XmguardError] = asyncio.Queue()
        self._listeners: list[Callable[[], None]] = []
        # One for the whole call: a timeout around every wait for a message would cost more than the message.
        self._alarm = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self._expire)

    async def size(self) -> Size:
        """What it costs, as soon as the worker has prepared it.

        Raises:
            XmguardError: the request is not valid, the worker is lost, or the deadline passed.
        """
        return Size(**(await self._next()).fields)

    def run(self, queue_seconds: float, skip_evidence: str) -> None:
        """Run it as soon as it is prepared."""
        self.admitted = True
        self.worker.send(
            Kind.RUN, self.number, {"queue_seconds": round(queue_seconds, 6), "skip_evidence": skip_evidence}
        )

    async def response(self) -> tuple[bytes, bool]:
        """The next response, packed, and whether it is the last.

        Raises:
            XmguardError: what ended it, the loss of the worker included.
        """
        while (message := await self._next()).kind is Kind.PREPARED:  # its size was known from another worker
            pass
        return message.body, message.kind is Kind.LAST

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self._alarm is not None:
            self._alarm.cancel()
        if not self.over:
            self.worker.send(Kind.CANCEL, self.number)

    def when_over(self, tell: Callable[[], None]) -> None:
        """Tell once the worker has let go of the call: its place is free then, and not before."""
        if self.over:
            tell()
        else:
            self._listeners.append(tell)

    def hear(self, message: Message | XmguardError) -> None:
        """Take what the worker says of it, or why it says nothing more."""
        if isinstance(message, Message) and message.kind is Kind.PREPARED:
            self.prepared = True
        if self._at_once is not None and isinstance(message, Message) and message.kind is Kind.PREPARED:
            try:
                self._at_once.tell(message.fields["cost"])
            except XmguardError as refusal:
                self._told.put_nowait(refusal)
            return
        self._told.put_nowait(message)
        if isinstance(message, XmguardError) or message.kind in (Kind.LAST, Kind.ERROR):
            self.over = True
            for tell in self._listeners:
                tell()

    def _expire(self) -> None:
        self._told.put_nowait(DeadlineExceeded("the deadline passed before the work was done"))

    async def _next(self) -> Message:
        message = await self._told.get()
        if isinstance(message, XmguardError):
            raise message
        if message.kind is Kind.ERROR:
            raise error_of(message.fields)
        return message


class Remote(asyncio.Protocol):
    """One worker, as the front sees it."""

    def __init__(self, number: int, hearing: Hearing) -> None:
        self.number = number
        self.concurrency = 0
        """Calls that it runs at once; 0 until it is ready."""
        self.info: ModelInfo | None = None
        """What its guard says of itself, once it is ready."""
        self.broken: XmguardError | None = None
        """Why it answers nothing any more, in its own words."""
        self.broke: Sequence[Asked] = ()
        """What it ran or prepared when it said so."""
        self.closed = False
        self.changed = asyncio.Event()
        """Set when one of the above changes."""
        self.step_seconds = 0.0
        """Age of the oldest step it runs, as of its last sign of life."""
        self.observer_failures: Mapping[str, int] = {}
        self.cache_usage: float | None = None
        """Of its engine's key-value cache, as of its last sign of life; None if it tells none."""
        self.calls: dict[int, RemoteCall] = {}
        self._hearing = hearing
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._frames = Frames()
        self._numbers = itertools.count(1)
        self._transport: Any = None
        self._pages: list[asyncio.Future[bytes | None]] = []

    @property
    def running(self) -> int:
        """Calls that were admitted to it and are not over."""
        return sum(call.admitted for call in self.calls.values())

    @property
    def working(self) -> Sequence[Asked]:
        """What it runs or prepares; calls that wait for their turn are left out. It prepares one after the other."""
        running = [call.asked for call in self.calls.values() if call.admitted]
        waiting = (call.asked for call in self.calls.values() if not call.admitted and not call.prepared)
        return [*running, *itertools.islice(waiting, 1)]

    @property
    def silent_seconds(self) -> float:
        """Since it was last heard of."""
        return self._loop.time() - self._heard

    def prepare(
        self, method: GuardMethod, asked: Asked, request_id: str, stop: Stop, at_once: AtOnce | None = None
    ) -> RemoteCall:
        """Send it a call, which it runs `at_once`, or else once that is asked for (`RemoteCall.run`)."""
        seconds = stop.remaining()
        call = RemoteCall(self, next(self._numbers), method, asked, seconds, at_once)
        self.calls[call.number] = call
        within = None if at_once is None else at_once.within
        told = {"method": method.name, "request_id": request_id, "timeout": seconds, "within": within}
        self.send(Kind.PREPARE, call.number, told, asked.body)
        return call

    def send(self, kind: Kind, call: int = 0, fields: Mapping[str, Any] | None = None, body: bytes = b"") -> None:
        """Send it a message, if there is still somebody."""
        if not self.closed:
            self._transport.write(Message(kind, call, fields or {}, body).pack())

    def lose(self, why: Callable[[], XmguardError]) -> None:
        """End every call, each with an error of its own to raise: nothing more will come."""
        calls, self.calls = self.calls, {}
        for call in calls.values():
            call.hear(why())
        self._tell_pages(None)

    async def engine_page(self) -> bytes | None:
        """The engine's own metrics; None if it has none, or the worker is lost."""
        page: asyncio.Future[bytes | None] = self._loop.create_future()
        self._pages.append(page)
        self.send(Kind.ASK_PAGE)
        return await page

    def _tell_pages(self, page: bytes | None) -> None:
        waiting, self._pages = self._pages, []
        for one in waiting:
            if not one.done():
                one.set_result(page)

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """The link is open."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker closed the link, or is gone."""
        self.closed = True
        self.changed.set()

    def data_received(self, data: bytes) -> None:
        """Something arrived."""
        self._heard = self._loop.time()
        for message in self._frames.feed(data):
            self._hear(message)

    def _hear(self, message: Message) -> None:
        fields = message.fields
        if message.call:
            self._hear_of_call(message)
        elif message.kind is Kind.BEAT:
            self.step_seconds, self.observer_failures = fields["step"], fields["observer_failures"]
            self.cache_usage = fields["cache_usage"]
        elif message.kind is Kind.PROGRESS:
            self._hearing.progress(fields["step"])
        elif message.kind is Kind.READY:
            self.concurrency, self.info = fields["concurrency"], wire.GET_MODEL.unpack_response(message.body)
            self.changed.set()
        elif message.kind is Kind.PAGE:
            self._tell_pages(message.body if fields["counts"] else None)
        elif message.kind is Kind.BROKEN:
            self.broken, self.broke = error_of(fields), self.working
            self.changed.set()

    def _hear_of_call(self, message: Message) -> None:
        call = self.calls.get(message.call)
        if call is None:
            return
        if message.kind in (Kind.LAST, Kind.ERROR):
            del self.calls[message.call]
        call.hear(message)
        if message.kind is Kind.LAST and message.fields:
            call.context.run(self._hearing.finished, _event(call.method, message))


def _event(method: GuardMethod, message: Message) -> GuardEvent:
    response: Any = method.unpack_response(message.body)
    if method is wire.STREAM_ANSWER:
        response = response[1].response
    return GuardEvent(
        message.fields["method"],
        AnswerRequest(),
        response,
        message.fields["first_token_seconds"],
        tuple(message.fields["token_gaps"]),
        tuple(StepTime(Step(step), began, seconds) for step, began, seconds in message.fields["steps"]),
        message.fields["cost"],
    )
