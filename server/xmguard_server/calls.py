"""The one core behind every interface: what a call asks for goes to the served guard, under the server's bounds.

gRPC, HTTP and the page on the admin port read their own kinds of requests and write their own kinds of answers; whether
the guard is ready, how long a call may take, and its place in the queue are settled here, so that all of them have the
same limits and the same errors. Knows no transport.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from xmguard.deadline import Stop
from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import CheckResponse, Event, ModelInfo
from xmguard_server.config import ServerConfig
from xmguard_server.metrics import Metrics
from xmguard_server.worker import Worker


class ServedBackend(Protocol):
    """What a server needs of the model under a guard. Safe on any thread."""

    @property
    def concurrency(self) -> int:
        """Requests that may run at once."""
        ...

    @property
    def failure(self) -> str:
        """Why nothing can be answered any more; empty while it can."""
        ...

    def close(self) -> None:
        """Free the model; what still runs on it fails."""
        ...


class ServedGuard(Protocol):
    """What a server needs of a guard. Called on as many threads at once as its backend takes, `describe` on any."""

    @property
    def backend(self) -> ServedBackend:
        """The model under it."""
        ...

    @property
    def observer_failures(self) -> Mapping[str, int]:
        """How often each observer raised, by its name."""
        ...

    def stream(self, request: AnswerRequest, *, stop: Stop, request_id: str, queue_seconds: float) -> Iterator[Event]:
        """Events of an answer; Done is the last. Raises XmguardError, also for a request that is not valid."""
        ...

    def check(self, request: AnswerRequest, *, stop: Stop, request_id: str, queue_seconds: float) -> CheckResponse:
        """The verdict and the contributions."""
        ...

    def describe(self, model: str = "") -> ModelInfo:
        """What is served; cheap, and safe on any thread. Raises ModelNotFound."""
        ...


@dataclass(frozen=True)
class Call:
    """What an interface knows of a call, beside the request."""

    request_id: str
    """Told to the caller and to the log."""
    timeout: float | None = None
    """Seconds that the caller waits; None if it did not say."""
    caller: str = ""
    """Who asks, by the name of its credentials; empty where nobody has to say."""


class Calls:
    """Calls of the guard, whoever carries them. `guard` is None until the model is loaded."""

    def __init__(self, worker: Worker, config: ServerConfig, metrics: Metrics) -> None:
        self.guard: ServedGuard | None = None
        self._worker = worker
        self._config = config
        self._metrics = metrics

    def stream(self, request: AnswerRequest, call: Call) -> AsyncGenerator[Event, None]:
        """The events of an answer, Done last. Close the iterator (`contextlib.aclosing`): that frees the call's place.

        Raises:
            XmguardError: at once if the guard is not ready; while iterating, what refuses or ends the call.
        """
        guard, stop = self._ready(), self._stop(call)

        def work(waited: float) -> Iterator[Event]:
            self._metrics.waited(waited)
            return guard.stream(request, stop=stop, request_id=call.request_id, queue_seconds=waited)

        return self._worker.admit(work, stop)

    async def check(self, request: AnswerRequest, call: Call) -> CheckResponse:
        """The verdict and the contributions.

        Raises:
            XmguardError: the guard is not ready, or what refuses or ends the call.
        """
        guard, stop = self._ready(), self._stop(call)

        def work(waited: float) -> Iterator[CheckResponse]:
            self._metrics.waited(waited)
            yield guard.check(request, stop=stop, request_id=call.request_id, queue_seconds=waited)

        async with aclosing(self._worker.admit(work, stop)) as responses:
            return await anext(responses)

    def describe(self, model: str = "") -> ModelInfo:
        """What is served.

        Raises:
            ModelNotFound: it is another model.
            XmguardError: the guard is not ready.
        """
        return self._ready().describe(model)

    def _ready(self) -> ServedGuard:
        if self.guard is None:
            raise XmguardError(
                "the model is still being loaded; ask again soon",
                code=ErrorCode.UNAVAILABLE,
                reason=Reason.MODEL_LOADING,
                retry_after=1.0,
            )
        return self.guard

    def _stop(self, call: Call) -> Stop:
        wanted = self._config.default_deadline if call.timeout is None else call.timeout
        return Stop(min(wanted, self._config.max_deadline))
