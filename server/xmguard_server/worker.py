"""The threads that run the model, and the bounded first-in-first-out queue in front of them.

asyncio stays on its own thread, so health answers while the model computes. Knows nothing of gRPC or of what the work
is: it iterates what it is given and hands each item to whoever awaits it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from xmguard.deadline import Stop
from xmguard.errors import Cancelled, DeadlineExceeded, ErrorCode, Reason, XmguardError

T = TypeVar("T")

_FIRST_GUESS_SECONDS = 1.0
"""How long a request takes, before any was seen; only advises callers when to come back."""


@dataclass(frozen=True)
class _End:
    error: Exception | None


class Job(Generic[T]):
    """One piece of work: waiting, running or over. `async for` gives its items."""

    def __init__(self, work: Callable[[float], Iterable[T]], stop: Stop) -> None:
        self._work = work
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        # Unbounded, because the model must not wait for a slow reader; what one request can produce is bounded by
        # its token limit.
        self._items: asyncio.Queue[T | _End] = asyncio.Queue()
        self._submitted = time.monotonic()

    async def __aiter__(self) -> AsyncIterator[T]:
        """The items as they come, then the error that ended the work, if any.

        Raises:
            DeadlineExceeded: on time, even while the work is still between two looks at its `Stop`.
        """
        while True:
            try:
                async with asyncio.timeout(self._stop.remaining()):
                    item = await self._items.get()
            except TimeoutError as error:
                raise DeadlineExceeded("the deadline passed before the work was done") from error
            if not isinstance(item, _End):
                yield item
            elif item.error is None:
                return
            else:
                raise item.error

    def cancel(self) -> None:
        """Stop the work at its next step."""
        self._stop.cancel()

    def run(self) -> None:
        """Do the work; called on a model thread."""
        waited = time.monotonic() - self._submitted
        error: Exception | None = None
        try:
            self._stop.check()
            for item in self._work(waited):
                self._send(item)
        except Exception as raised:
            error = raised
        # Whatever the work raises belongs to this one request. SystemExit and its like would end the event loop when
        # raised there, so they go on as an ordinary error.
        except BaseException as raised:
            error = RuntimeError(f"the work raised {type(raised).__name__}")
            error.__cause__ = raised
        self._send(_End(error))

    def _send(self, item: T | _End) -> None:
        # The loop is closed only when a stop's grace ran out; nobody is left to hear.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)


class Worker:
    """Admits jobs to the queue and runs them on its own threads: one, until there are to be more."""

    def __init__(self, *, max_queue: int) -> None:
        """`max_queue` jobs may wait while every thread runs one."""
        self._max_queue = max_queue
        self._changed = threading.Condition()
        self._waiting: deque[Job[Any]] = deque()
        self._running: set[Job[Any]] = set()
        self._draining = False
        self._stopped = False
        self._mean_seconds = _FIRST_GUESS_SECONDS
        self._threads = [self._thread()]

    @property
    def running(self) -> int:
        """Jobs on the model."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the first thread."""
        self._threads[0].start()

    def widen(self, threads: int) -> None:
        """Run so many jobs at once from now on; never fewer than before."""
        with self._changed:
            more = [self._thread() for _ in range(threads - len(self._threads))]
            self._threads += more
        for thread in more:
            thread.start()

    async def admit(self, work: Callable[[float], Iterable[T]], stop: Stop) -> AsyncGenerator[T, None]:
        """Queue the work and give its items as they come.

        `work` is called, on a model thread, with the seconds it waited.

        However the caller leaves, the work is cancelled and its place is free again within one step of it. Close the
        iterator (`contextlib.aclosing`): a dropped one is closed only when it is collected.

        Raises:
            XmguardError: the queue is full (with `retry_after`), or the server is shutting down.
        """
        job = self._enqueue(work, stop)
        try:
            async for item in job:
                yield item
        except Cancelled as error:
            if self._stopped:  # it was not the caller who cancelled
                raise _shutting_down() from error
            raise
        # grpc reports a caller that went away as CancelledError or as GeneratorExit; only `finally` sees every case.
        finally:
            job.cancel()
            with self._changed, suppress(ValueError):  # not in the queue: it is running, or over
                self._waiting.remove(job)

    def drain(self) -> None:
        """Admit nothing more; what was admitted is finished."""
        with self._changed:
            self._draining = True

    def stop(self, timeout: float) -> None:
        """Cancel what is left and end the threads, waiting at most `timeout` seconds for their current steps."""
        with self._changed:
            self._draining = self._stopped = True
            for job in (*self._waiting, *self._running):
                job.cancel()
            self._changed.notify_all()
        end = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))

    def _thread(self) -> threading.Thread:
        return threading.Thread(target=self._loop, name="xmguard-model", daemon=True)

    def _enqueue(self, work: Callable[[float], Iterable[T]], stop: Stop) -> Job[T]:
        job = Job(work, stop)
        with self._changed:
            if self._draining:
                raise _shutting_down()
            if self.running + self.waiting >= self._max_queue + len(self._threads):
                delay = max(1.0, self._mean_seconds)
                raise XmguardError(
                    f"{self.waiting} requests are waiting, which is the limit; ask again in {delay:.0f} s",
                    code=ErrorCode.RESOURCE_EXHAUSTED,
                    reason=Reason.QUEUE_FULL,
                    retry_after=delay,
                )
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def _loop(self) -> None:
        while (job := self._next()) is not None:
            started = time.monotonic()
            job.run()
            with self._changed:
                self._mean_seconds += 0.2 * (time.monotonic() - started - self._mean_seconds)
                self._running.remove(job)

    def _next(self) -> Job[Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            if not self._waiting:
                return None
            job = self._waiting.popleft()
            self._running.add(job)
            return job


def _shutting_down() -> XmguardError:
    return XmguardError(
        "the server is shutting down; ask another one", code=ErrorCode.UNAVAILABLE, reason=Reason.SHUTTING_DOWN
    )
