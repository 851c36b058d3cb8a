"""The service's four methods: thin, because everything they do is in the guard.

Each reads bytes into a value, queues the guard's work, and writes values as bytes. Bytes rather than messages reach
the handlers, so that a body that is not the message at all is refused in the same words as any other bad request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import grpc

from xmguard import wire
from xmguard.deadline import Stop
from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import CheckResponse, Done, Event, ModelInfo
from xmguard_server.config import ServerConfig
from xmguard_server.errors import rich_errors
from xmguard_server.interceptors import REQUEST_ID
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


class GuardServicer:
    """Handlers of the guard service. `guard` is None until the model is loaded."""

    def __init__(self, worker: Worker, config: ServerConfig, metrics: Metrics) -> None:
        self.guard: ServedGuard | None = None
        self._worker = worker
        self._config = config
        self._metrics = metrics

    def handlers(self) -> dict[str, Any]:
        """Method name to grpc handler, for `method_handlers_generic_handler` of the service."""
        behaviours = {
            wire.ANSWER.name: self._answer,
            wire.STREAM_ANSWER.name: self._stream_answer,
            wire.CHECK.name: self._check,
            wire.GET_MODEL.name: self._get_model,
        }
        return {
            method.name: (
                grpc.unary_stream_rpc_method_handler if method.streams else grpc.unary_unary_rpc_method_handler
            )(behaviours[method.name])
            for method in wire.METHODS
        }

    async def _answer(self, data: bytes, context: Any) -> bytes:
        async with rich_errors(context, self._metrics.rejected):
            request = wire.ANSWER.unpack_request(data)
            async with aclosing(self._events(request, context)) as events:
                done = [event async for event in events if isinstance(event, Done)]
            return wire.ANSWER.pack_response(done[0].response)

    async def _stream_answer(self, data: bytes, context: Any) -> None:
        async with rich_errors(context, self._metrics.rejected):
            request = wire.STREAM_ANSWER.unpack_request(data)
            sequence = 0
            async with aclosing(self._events(request, context)) as events:
                async for event in events:
                    await context.write(wire.STREAM_ANSWER.pack_response((sequence, event)))
                    sequence += 1

    async def _check(self, data: bytes, context: Any) -> bytes:
        async with rich_errors(context, self._metrics.rejected):
            request = wire.CHECK.unpack_request(data)
            guard, stop, request_id = self._ready(), self._stop(context), REQUEST_ID.get()

            def work(waited: float) -> Iterator[CheckResponse]:
                self._metrics.waited(waited)
                yield guard.check(request, stop=stop, request_id=request_id, queue_seconds=waited)

            async with aclosing(self._worker.admit(work, stop)) as responses:
                return wire.CHECK.pack_response(await anext(responses))

    async def _get_model(self, data: bytes, context: Any) -> bytes:
        async with rich_errors(context, self._metrics.rejected):
            return wire.GET_MODEL.pack_response(self._ready().describe(wire.GET_MODEL.unpack_request(data)))

    def _events(self, request: AnswerRequest, context: Any) -> AsyncGenerator[Event, None]:
        guard, stop, request_id = self._ready(), self._stop(context), REQUEST_ID.get()

        def work(waited: float) -> Iterator[Event]:
            self._metrics.waited(waited)
            return guard.stream(request, stop=stop, request_id=request_id, queue_seconds=waited)

        return self._worker.admit(work, stop)

    def _ready(self) -> ServedGuard:
        if self.guard is None:
            raise XmguardError(
                "the model is still being loaded; ask again soon",
                code=ErrorCode.UNAVAILABLE,
                reason=Reason.MODEL_LOADING,
                retry_after=1.0,
            )
        return self.guard

    def _stop(self, context: Any) -> Stop:
        remaining: float | None = context.time_remaining()
        if remaining is None:
            remaining = self._config.default_deadline
        return Stop(min(remaining, self._config.max_deadline))
