"""The workers together: which one gets a call, and what they say as one.

Knows no queue: a call runs when it is told to, and where there is room then.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from xmguard.contracts import GuardEvent, Observer
from xmguard.deadline import Stop
from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard.response import ModelInfo
from xmguard_server.workers.engine_page import together
from xmguard_server.workers.launching import Launch
from xmguard_server.workers.losses import LossReason
from xmguard_server.workers.remote import AtOnce, GuardMethod, Remote, RemoteCall, Size
from xmguard_server.workers.supervisor import Supervisor
from xmguard_server.workers.suspects import Asked, Suspects

logger = logging.getLogger(__name__)


class Pool:
    """Workers that are all alike."""

    def __init__(
        self,
        launch: Launch,
        *,
        workers: int = 1,
        step_timeout: float,
        max_restarts: int,
        observers: Sequence[Observer] = (),
        progress: Callable[[str], None] | None = None,
        lost: Callable[[LossReason], None] | None = None,
        resized: Callable[[int], None] | None = None,
    ) -> None:
        """Set up, and start nothing.

        Args:
            launch: starts a worker.
            workers: how many.
            step_timeout: seconds that a step of the model may take before its worker is killed.
            max_restarts: losses of a worker in a row that are followed by another start.
            observers: told of every call that was answered; what was asked stays in the worker, so the event's request
                is empty.
            progress: told each step of loading, in words.
            lost: told of each loss that is followed by another start.
            resized: told `slots` whenever a worker becomes ready or stops being so, before any call of a lost one
                ends: later, the place of such a call would be given to the next, with no worker to run it.
        """
        self._observers = observers
        self._resized = resized or (lambda slots: None)
        self._progress = progress or (lambda step: None)
        self._failures: Counter[str] = Counter()
        self._info: ModelInfo | None = None
        self._ended: Callable[[], XmguardError] | None = None
        self.suspects = Suspects()
        """Requests that may break workers."""
        self._keeping: list[asyncio.Task[None]] = []
        self._supervisors = [
            Supervisor(
                number,
                launch,
                self,
                step_timeout=step_timeout,
                max_restarts=max_restarts,
                lost=lost or (lambda reason: None),
                suspected=self.suspects.lost,
                changed=self._change,
            )
            for number in range(workers)
        ]
        self._changing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the workers; they load by themselves."""
        self._keeping = [asyncio.create_task(supervisor.keep()) for supervisor in self._supervisors]

    async def ready(self) -> None:
        """Wait until every worker has loaded its guard.

        Raises:
            XmguardError: one cannot.
        """
        while True:
            changing = self._changing
            if errors := self._errors:
                raise errors[0]
            if len(self._ready) == len(self._supervisors):
                return
            await asyncio.wait((changing, *self._keeping), return_when=asyncio.FIRST_COMPLETED)

    async def changes(self) -> AsyncGenerator[None, None]:
        """Now, and again whenever a worker becomes ready or stops being so. Never ends."""
        while True:
            changing = self._changing
            yield
            await asyncio.wait((changing,))

    async def failed(self) -> XmguardError:
        """Wait until a worker is given up."""
        while not (errors := self._errors):
            await asyncio.wait(self._keeping, return_when=asyncio.FIRST_COMPLETED)
        return errors[0]

    async def stop(self, why: Callable[[], XmguardError]) -> None:
        """End every call with the error of `why`, and every worker; returns when they are gone."""
        self._ended = why
        for supervisor in self._supervisors:
            if supervisor.remote is not None:
                supervisor.remote.lose(why)
            supervisor.stop()
        await asyncio.gather(*self._keeping, return_exceptions=True)  # `failed` has told of who was given up

    # -- what they are -----------------------------------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """Calls that may run at once on the workers that are ready; 0 while none is."""
        return sum(remote.concurrency for remote in self._ready)

    @property
    def ready_workers(self) -> int:
        """Workers that answer."""
        return len(self._ready)

    @property
    def info(self) -> ModelInfo:
        """What is served.

        Raises:
            XmguardError: no worker has loaded it yet.
        """
        if self._info is None:
            raise _nobody(loaded=False)
        return self._info

    @property
    def observer_failures(self) -> Mapping[str, int]:
        """How often each observer raised, here and in the workers."""
        total = self._failures.copy()
        for supervisor in self._supervisors:
            total.update(supervisor.observer_failures)
            if supervisor.remote is not None:
                total.update(supervisor.remote.observer_failures)
        return total

    async def engine_page(self) -> bytes | None:
        """The own metrics of the engines in the workers that are ready; None if they have none, or none is ready."""
        ready = self._ready
        pages = await asyncio.gather(*(remote.engine_page() for remote in ready))
        told = {remote.number: page for remote, page in zip(ready, pages, strict=True) if page is not None}
        return together(told) if told else None

    @property
    def cache_usage(self) -> float | None:
        """The used share of the engines' key-value caches, of the fullest; None if they tell none."""
        told = (remote.cache_usage for remote in self._ready)
        return max((used for used in told if used is not None), default=None)

    # -- calls -------------------------------------------------------------------------------------------------------

    def call(
        self, method: GuardMethod, body: bytes, request_id: str, stop: Stop, at_once: AtOnce | None = None
    ) -> PlacedCall:
        """Send a call to the worker with the least to do, which prepares it and may run it `at_once`.

        Raises:
            XmguardError: no worker is ready, or the request is thought to break them.
        """
        return PlacedCall(self, method, body, request_id, stop, at_once)

    def idlest(self) -> Remote:
        """The worker with the least to do.

        Raises:
            XmguardError: none is ready.
        """
        if self._ended is not None:
            raise self._ended()
        ready = self._ready
        if not ready:
            raise _nobody(loaded=self._info is not None)
        return min(ready, key=lambda remote: len(remote.calls) / remote.concurrency)

    def with_room(self, prepared: Remote) -> Remote:
        """Where a call is to run: on the worker that prepared it, unless that is gone, or full and another is not.

        Raises:
            XmguardError: none is ready.
        """
        ready = self._ready
        room = [remote for remote in ready if remote.running < remote.concurrency]
        if prepared in room or (prepared in ready and not room):
            return prepared
        return min(room, key=lambda remote: remote.running / remote.concurrency) if room else self.idlest()

    # -- what workers say (Hearing) ----------------------------------------------------------------------------------

    def progress(self, step: str) -> None:
        """A step of loading."""
        self._progress(step)

    def finished(self, event: GuardEvent) -> None:
        """Tell the observers; one that raises is counted and logged, and nobody else's business."""
        for observer in self._observers:
            try:
                observer.observe(event)
            except Exception:  # an observer may raise anything
                self._failures[observer.name] += 1
                logger.exception("observer %s failed", observer.name)

    @property
    def _ready(self) -> list[Remote]:
        ready = [supervisor.remote for supervisor in self._supervisors if supervisor.remote is not None]
        if ready and self._info is None:
            self._info = ready[0].info
        return ready

    @property
    def _errors(self) -> list[XmguardError]:
        ended = [task.exception() for task in self._keeping if task.done() and not task.cancelled()]
        return [error if isinstance(error, XmguardError) else _bug(error) for error in ended if error is not None]

    def _change(self) -> None:
        """Wake who waits for a worker to become ready or to stop being so."""
        self._resized(self.slots)
        changed, self._changing = self._changing, asyncio.get_running_loop().create_future()
        changed.set_result(None)


class PlacedCall:
    """A call on one of the workers: prepared on one, and run there or, if that is better by then, on another."""

    def __init__(
        self, pool: Pool, method: GuardMethod, body: bytes, request_id: str, stop: Stop, at_once: AtOnce | None
    ) -> None:
        self._pool = pool
        self._asked = Asked(method.name, body)
        self._arguments = method, self._asked, request_id, stop
        pool.suspects.refuse(self._asked)
        worker = pool.idlest()
        if at_once is not None:
            worker = pool.with_room(worker)
        self._remote: RemoteCall = worker.prepare(*self._arguments, at_once)

    async def size(self) -> Size:
        """What it costs; raises what `RemoteCall.size` raises."""
        return await self._remote.size()

    def run(self, queue_seconds: float, skip_evidence: str) -> None:
        """Run it where there is room by now.

        Raises:
            XmguardError: no worker is ready, or it came to be thought to break them.
        """
        self._pool.suspects.refuse(self._asked)
        worker = self._pool.with_room(self._remote.worker)
        if worker is not self._remote.worker:
            self._remote.cancel()
            self._remote = worker.prepare(*self._arguments)
        self._remote.run(queue_seconds, skip_evidence)

    async def response(self) -> tuple[bytes, bool]:
        """Its next response, and whether it is the last; raises what `RemoteCall.response` raises."""
        response, last = await self._remote.response()
        if last:
            self._pool.suspects.answered(self._asked)
        return response, last

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._remote.cancel()

    def when_over(self, tell: Callable[[], None]) -> None:
        """Tell once no worker has it any more."""
        self._remote.when_over(tell)


def _nobody(*, loaded: bool) -> XmguardError:
    # Not WORKER_LOST, which is for what may have broken a worker: this ran on none, and may be repeated by anybody.
    message = "no worker is ready; the model is being loaded again" if loaded else "the model is still being loaded"
    return XmguardError(
        f"{message}; ask again soon", code=ErrorCode.UNAVAILABLE, reason=Reason.MODEL_LOADING, retry_after=1.0
    )


def _bug(error: BaseException) -> XmguardError:
    logger.error("a worker's supervision failed", exc_info=error)
    return XmguardError("a worker's supervision failed: a bug; see the log above")
