"""Keeps one worker alive: starts it, watches it, ends it when it hangs, and starts it again, later each time.

Knows nothing of calls beyond how to end those of a worker that is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from xmguard.errors import EngineError, ErrorCode, Reason, XmguardError
from xmguard_server.workers.launching import Launch, Launched
from xmguard_server.workers.link import Kind
from xmguard_server.workers.losses import LossReason
from xmguard_server.workers.remote import Hearing, Remote
from xmguard_server.workers.suspects import Asked

_LOOK_SECONDS = 0.1
"""Between two looks at whether a worker still runs."""
_ENGINE_GRACE = 1.0
"""Seconds that calls of a failed engine have to end with what it says itself."""
_CLOSED_GRACE = 1.0
"""Seconds between the end of a worker's link and its own."""
_END_GRACE = 6.0
"""Seconds that a worker has to end by itself: its step, and closing its engine."""
FIRST_DELAY = 0.5
LONGEST_DELAY = 8.0
"""Seconds until a lost worker is started again: doubled each time in a row."""
HEALTHY_SECONDS = 10.0
"""After which a worker that was ready is no longer one in a row of losses."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loss:
    """A worker that is no more."""

    reason: LossReason
    error: XmguardError
    """What the server would end with."""
    ready_seconds: float
    """How long it had been answering."""


class Supervisor:
    """One worker after the other, all with the same number."""

    def __init__(
        self,
        number: int,
        launch: Launch,
        hearing: Hearing,
        *,
        step_timeout: float,
        max_restarts: int,
        lost: Callable[[LossReason], None],
        suspected: Callable[[Sequence[Asked]], None],
        changed: Callable[[], None],
    ) -> None:
        """Set up, and start nothing.

        Args:
            number: of the worker.
            launch: starts it.
            hearing: is told what it says of itself.
            step_timeout: seconds that a step of the model may take.
            max_restarts: losses in a row after which it is given up.
            lost: told of each loss that is followed by another start.
            suspected: told with each loss what the worker ran or prepared, before callers hear of it.
            changed: told when the worker becomes ready, or stops being so.
        """
        self.remote: Remote | None = None
        """The worker, while it answers."""
        self.observer_failures: dict[str, int] = {}
        """How often each observer raised in the workers that are gone."""
        self._number = number
        self._launch = launch
        self._hearing = hearing
        self._step_timeout = step_timeout
        self._max_restarts = max_restarts
        self._lost = lost
        self._suspected = suspected
        self._changed = changed
        self._stopping = asyncio.Event()

    async def keep(self) -> None:
        """Keep a worker alive until `stop`.

        Raises:
            XmguardError: it could not be loaded at first, or was lost too often in a row.
        """
        row, proven = 0, False
        while not self._stopping.is_set():
            loss = await self._live()
            if loss is None:
                return
            proven = proven or loss.ready_seconds > 0
            row = 1 if loss.ready_seconds >= HEALTHY_SECONDS else row + 1
            if not proven or row > self._max_restarts:
                raise loss.error
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** (row - 1))
            logger.error("%s; starting it again in %g s", loss.error, delay)
            self._lost(loss.reason)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    def stop(self) -> None:
        """Let the worker end."""
        self._stopping.set()

    async def _live(self) -> Loss | None:
        """One worker's life; None if it ended because of `stop`."""
        try:
            launched = self._launch(self._number)
        except OSError as error:  # the system has no process, no memory or no descriptor left; later it may
            cannot = EngineError(f"worker {self._number} cannot be started: {error.strerror}")
            return Loss(LossReason.LOAD, cannot, 0.0)
        remote = Remote(self._number, self._hearing)
        transport = None
        try:
            transport, _ = await asyncio.get_running_loop().create_unix_connection(lambda: remote, sock=launched.link)
            return await self._watch(launched, remote)
        finally:
            self._set(None)
            remote.lose(_lost_call)
            if transport is not None:
                transport.close()
            await asyncio.to_thread(launched.kill)  # freeing a GPU's memory takes its time
            for observer, count in remote.observer_failures.items():
                self.observer_failures[observer] = self.observer_failures.get(observer, 0) + count

    async def _watch(self, launched: Launched, remote: Remote) -> Loss | None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.create_task(self._stopping.wait())
        ready_since = None
        try:
            while not stopping.done():
                if remote.closed:  # its end is near: how it ended is soon known
                    self._set(None)
                    await self._until(lambda: bool(launched.ended()), _CLOSED_GRACE)
                loss = self._look(launched, remote)
                if loss is not None:
                    self._set(None)
                    self._suspected(remote.working if remote.broken is None else remote.broke)
                    if loss.reason is LossReason.ENGINE:
                        await self._until(lambda: not remote.calls, _ENGINE_GRACE)
                    lived = 0.0 if ready_since is None else max(loop.time() - ready_since, _LOOK_SECONDS)
                    return Loss(loss.reason, loss.error, lived)
                if remote.concurrency and ready_since is None:
                    ready_since = loop.time()
                    self._set(remote)
                changed = asyncio.create_task(remote.changed.wait())
                await asyncio.wait((stopping, changed), timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                remote.changed.clear()
            self._set(None)
            remote.send(Kind.STOP)
            await self._until(lambda: bool(launched.ended()), _END_GRACE)
            return None
        finally:
            stopping.cancel()

    def _look(self, launched: Launched, remote: Remote) -> Loss | None:
        """Why the worker is lost, if it is."""
        ready = remote.concurrency > 0
        if remote.broken is not None:
            return Loss(LossReason.ENGINE if ready else LossReason.LOAD, remote.broken, 0.0)
        name = f"worker {self._number}"
        if (how := launched.ended()) or remote.closed:
            doing = "" if ready else " while it loaded the model"
            return Loss(LossReason.CRASH, EngineError(f"{name} {how or 'closed its link'}{doing}"), 0.0)
        stuck = max(remote.step_seconds, remote.silent_seconds)
        if ready and stuck > self._step_timeout:
            hangs = f"{name} hung: one step took longer than {self._step_timeout:g} s (--step-timeout)"
            return Loss(LossReason.HANG, EngineError(hangs), 0.0)
        return None

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.02)

    def _set(self, remote: Remote | None) -> None:
        if self.remote is not remote:
            self.remote = remote
            self._changed()


def _lost_call() -> XmguardError:
    return XmguardError(
        "the worker that had this request was lost; ask again",
        code=ErrorCode.UNAVAILABLE,
        reason=Reason.WORKER_LOST,
        retry_after=1.0,
    )
