"""What a worker does: loads its guard, prepares and runs calls on threads, and tells the front that it lives.

One thread reads the link, so a cancellation or the end of the front is heard while the model computes; one prepares
requests, so what a request costs is known while others run; the others run the model, as many as it takes at once.
Every call that was sent here ends with exactly one LAST or ERROR. Knows no process: `serve` returns when it is over.

Requests are prepared one at a time, in their order, whatever thread does it, so one that takes long (many large photos
do) holds up those behind it. More threads would not help: what is slow goes through tokenizers and processors that are
not safe on several. Nor would letting small ones pass: the front's queue goes by who is prepared first, and large ones
would wait for a gap. It is bounded by what a request may hold and by the step's timeout; another worker has its own.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from xmguard import wire
from xmguard.contracts import GuardEvent
from xmguard.deadline import Stop
from xmguard.errors import Cancelled, EngineError, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import Done
from xmguard_server.workers.engine_page import cache_usage, engine_page
from xmguard_server.workers.faults import fault, is_out_of_memory
from xmguard_server.workers.link import Frames, Kind, Message, error_fields
from xmguard_server.workers.served import ServedGuard, ServedRequest

REQUEST_ID: ContextVar[str] = ContextVar("worker_request_id", default="")
"""Id of the request that a thread works for."""

BEAT_SECONDS = 0.25
"""Between two signs of life."""
_STEP_GRACE = 5.0
"""Seconds a cancelled request may take to reach the end of its step when the worker is told to end."""
_CLOSE_GRACE = 1.0
"""Seconds after those that an engine has to close, more if the steps ended sooner; together what the front waits."""
_UNQUEUED = {"queue_seconds": 0.0, "skip_evidence": ""}
"""What is said of a call that runs at once."""
_METHODS = {method.name: method for method in (wire.ANSWER, wire.STREAM_ANSWER, wire.CHECK)}

logger = logging.getLogger(__name__)


class _WatchedStop(Stop):
    """Remembers when the work last looked at it: that is when its current step began."""

    def __init__(self, timeout: float | None) -> None:
        super().__init__(timeout)
        self.stepped = time.monotonic()
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        super().cancel()

    def check(self) -> None:
        self.stepped = time.monotonic()
        super().check()


@dataclass(eq=False)
class _Call:
    number: int
    method: wire.Method[AnswerRequest, Any]
    request_id: str
    stop: _WatchedStop
    body: bytes = field(repr=False)
    within: int | None
    """Tokens it may cost to be run at once; None if it may not."""
    prepared: ServedRequest | None = None
    admitted: Mapping[str, Any] | None = None

    @property
    def cost(self) -> int | None:
        """Tokens that it was admitted with; None until it was."""
        if self.prepared is None or self.admitted is None:
            return None
        return self.prepared.cost_without_evidence if self.admitted["skip_evidence"] else self.prepared.cost


class _Hearer:
    """The guard's observer: keeps what a call's observers are to hear until its last response goes to the front."""

    name = "front"

    def __init__(self) -> None:
        self._heard = threading.local()

    def observe(self, event: GuardEvent) -> None:
        self._heard.event = event

    def take(self) -> GuardEvent | None:
        """What was heard on this thread since it was last taken."""
        event: GuardEvent | None = getattr(self._heard, "event", None)
        self._heard.event = None
        return event


def serve(link: socket.socket, load: Callable[..., ServedGuard]) -> bool:
    """Load a guard and run calls until the front says stop (True) or is gone (False)."""
    return _Runtime(link).serve(load)


class _Runtime:
    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._sending = threading.Lock()
        self._changing = threading.Lock()
        self._breaking = threading.Lock()
        self._preparing = threading.Lock()  # tokenizers are not safe on several threads
        self._calls: dict[int, _Call] = {}
        self._running: set[_Call] = set()
        self._intake: SimpleQueue[_Call] = SimpleQueue()
        self._runs: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._guard: ServedGuard | None = None
        self._hearer = _Hearer()
        self._over = threading.Event()
        self._broken = False

    def serve(self, load: Callable[..., ServedGuard]) -> bool:
        self._start("xmguard-model-0", self._load, load)
        frames, told = Frames(), False
        with suppress(OSError):  # the front is gone
            while not told and (data := self._link.recv(1 << 18)):
                for message in frames.feed(data):
                    told = told or message.kind is Kind.STOP
                    if not told:
                        self._take(message)
        self._end()
        return told

    # -- the guard ---------------------------------------------------------------------------------------------------

    def _load(self, load: Callable[..., ServedGuard]) -> None:
        try:
            guard = load(observers=[self._hearer], progress=lambda step: self._send(Kind.PROGRESS, 0, {"step": step}))
        except BaseException as error:
            self._send(Kind.BROKEN, 0, error_fields(_cannot_load(error)))
            return
        with self._changing:
            self._guard = guard
            ended = self._over.is_set()
        if ended:
            guard.backend.close()
            return
        self._start("xmguard-intake", self._prepare_calls)
        self._start("xmguard-beat", self._beat)
        for number in range(1, guard.backend.concurrency):
            self._start(f"xmguard-model-{number}", self._run_calls)
        info = wire.GET_MODEL.pack_response(guard.describe())
        self._send(Kind.READY, 0, {"concurrency": guard.backend.concurrency}, info)
        self._run_calls()

    def _beat(self) -> None:
        guard = self._loaded
        while not self._over.wait(BEAT_SECONDS):
            self._tell_failure()
            with self._changing:
                steps = [call.stop.stepped for call in self._running]
            age = time.monotonic() - min(steps) if steps else 0.0
            failures = dict(guard.observer_failures)
            self._send(Kind.BEAT, 0, {"step": age, "observer_failures": failures, "cache_usage": cache_usage()})

    def _tell_failure(self) -> None:
        """Tell, once, that the engine failed."""
        failure = self._loaded.backend.failure
        if not failure:
            return
        with self._breaking:  # whoever finds that it was told already, finds it sent
            if not self._broken:
                self._broken = True
                failed = EngineError(f"the engine failed: {failure}; see the log above")
                self._send(Kind.BROKEN, 0, error_fields(failed))

    @property
    def _loaded(self) -> ServedGuard:
        if self._guard is None:
            raise RuntimeError("a call came before the guard was loaded")
        return self._guard

    def _end(self) -> None:
        """Cancel what is left, wait for its steps, close the guard; neither is waited for without end."""
        self._over.set()
        with self._changing:
            for call in self._calls.values():
                call.stop.cancel()
            guard = self._guard
        for _ in self._threads:
            self._runs.put(None)
        if guard is not None:
            end = time.monotonic() + _STEP_GRACE
            for thread in self._threads:
                if thread.name.startswith("xmguard-model"):
                    thread.join(max(0.0, end - time.monotonic()))
            closing = self._start("xmguard-close", guard.backend.close)
            closing.join(max(0.0, end + _CLOSE_GRACE - time.monotonic()))
        self._link.close()

    # -- calls -------------------------------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        if message.kind is Kind.ASK_PAGE:
            page = engine_page()
            self._send(Kind.PAGE, 0, {"counts": page is not None}, page or b"")
            return
        if message.kind is Kind.PREPARE:
            told = message.fields
            stop, within = _WatchedStop(told["timeout"]), told["within"]
            call = _Call(message.call, _METHODS[told["method"]], told["request_id"], stop, message.body, within)
            with self._changing:
                self._calls[call.number] = call
            # A model thread is free, or about to be, for what may run at once.
            (self._intake if within is None else self._runs).put(call)
            return
        with self._changing:
            known = self._calls.get(message.call)
            if known is None:  # it ended while the message was on its way
                return
            if message.kind is Kind.CANCEL:
                known.stop.cancel()
                dropped = known.prepared is not None and known.admitted is None
            else:
                known.admitted, dropped = message.fields, False
                if known.prepared is not None:
                    self._runs.put(known)
        if dropped:
            self._fail(known, Cancelled("the caller cancelled the request"))

    def _prepare_calls(self) -> None:
        while True:
            call = self._intake.get()
            REQUEST_ID.set(call.request_id)
            try:
                admitted = self._prepare(call)
            except BaseException as error:
                self._fail(call, fault(error, call.request_id))
                continue
            finally:
                with self._changing:
                    self._running.discard(call)
            if admitted:
                self._runs.put(call)

    def _prepare(self, call: _Call) -> bool:
        """Prepare a call and say what it costs; whether it is to be run now."""
        try:
            request = call.method.unpack_request(call.body)
            with self._preparing:
                call.stop.check()
                self._step(call)  # only now: who waits for others to be prepared does not hang
                prepared = self._loaded.prepare(request, answers=call.method is not wire.CHECK)
            size = {
                "cost": prepared.cost,
                "cost_without_evidence": prepared.cost_without_evidence,
                "may_skip_evidence": prepared.may_skip_evidence,
            }
        finally:
            call.body = b""
        with self._changing:
            call.prepared = prepared
            if call.within is not None and prepared.cost <= call.within:
                call.admitted = _UNQUEUED
            admitted = call.admitted is not None
        if call.within is not None or not admitted:
            self._send(Kind.PREPARED, call.number, size)
        if not admitted and call.stop.cancelled:  # while it was prepared, so that nobody dropped it
            self._take(Message(Kind.CANCEL, call.number))
        return admitted

    def _run_calls(self) -> None:
        while (call := self._runs.get()) is not None:
            REQUEST_ID.set(call.request_id)
            try:
                if call.prepared is not None or self._prepare(call):
                    self._step(call)
                    self._run(call)
            except BaseException as error:  # whatever the work raises belongs to this one call
                self._fail(call, fault(error, call.request_id))
            finally:
                with self._changing:
                    self._running.discard(call)
                self._hearer.take()

    def _step(self, call: _Call) -> None:
        """A step of the call begins: one that never ends would keep all others waiting."""
        call.stop.stepped = time.monotonic()
        with self._changing:
            self._running.add(call)

    def _run(self, call: _Call) -> None:
        call.stop.check()
        last = b""
        for response, ends in self._responses(call):
            call.stop.stepped = time.monotonic()
            if ends:  # held until the guard has let go of the call: only then is its place free
                last = response
            else:
                self._send(Kind.RESPONSE, call.number, {}, response)
        event = self._hearer.take()
        self._forget(call)
        if event is None:
            self._send(Kind.LAST, call.number, {}, last)
        else:
            told = {
                "method": event.method,
                "first_token_seconds": event.first_token_seconds,
                "token_gaps": [round(gap, 6) for gap in event.token_gaps],
                "cost": call.cost,
                "steps": [(taken.step.value, taken.began, taken.seconds) for taken in event.steps],
            }
            self._send(Kind.LAST, call.number, told, last)

    def _responses(self, call: _Call) -> Iterator[tuple[bytes, bool]]:
        """Each response, packed, and whether it is the last."""
        told = call.admitted or {}
        arguments = {
            "stop": call.stop,
            "request_id": call.request_id,
            "queue_seconds": told["queue_seconds"],
            "skip_evidence": told["skip_evidence"],
        }
        pack = call.method.pack_response
        if call.method is wire.CHECK:
            yield pack(self._loaded.check(call.prepared, **arguments)), True
            return
        for sequence, event in enumerate(self._loaded.stream(call.prepared, **arguments)):
            if call.method is wire.STREAM_ANSWER:
                yield pack((sequence, event)), isinstance(event, Done)
            elif isinstance(event, Done):
                yield pack(event.response), True

    def _fail(self, call: _Call, error: XmguardError) -> None:
        self._tell_failure()  # first, so that the front knows what ran when the engine failed
        if self._forget(call):
            self._send(Kind.ERROR, call.number, error_fields(error))

    def _forget(self, call: _Call) -> bool:
        """Whether the call was still known; it is not any more."""
        with self._changing:
            return self._calls.pop(call.number, None) is not None

    # -- threads and bytes -------------------------------------------------------------------------------------------

    def _start(self, name: str, target: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _send(self, kind: Kind, call: int, fields: Mapping[str, Any], body: bytes = b"") -> None:
        frame = Message(kind, call, fields, body).pack()
        with self._sending, suppress(OSError):  # the front is gone; the reading thread hears it too
            self._link.sendall(frame)


def _cannot_load(error: BaseException) -> XmguardError:
    if isinstance(error, XmguardError):
        return error
    if is_out_of_memory(error):
        return EngineError("there is not enough memory to load the model; give a worker more (--worker-memory)")
    logger.error("the guard cannot be loaded", exc_info=error)
    return EngineError("the guard cannot be loaded: a bug; see the log above")
