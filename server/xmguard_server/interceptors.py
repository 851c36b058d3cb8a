"""What every call gets, health and reflection included: a request id, gRPC metrics, one line in the access log.

Sees methods, codes and times; never a request's content.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import grpc
import grpc.aio

from xmguard.request import REQUEST_ID as ACCEPTED_ID
from xmguard.wire import SERVICE
from xmguard_server import access_log
from xmguard_server.callers import CALLER, caller
from xmguard_server.metrics import Metrics
from xmguard_server.trace_context import Tracer

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
"""Id of the call being handled; set in every handler."""

REQUEST_ID_KEY = "x-request-id"
"""Metadata key, inwards and outwards. Outwards it is a trailer: sending headers early would end gRPC's own retries."""

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}

_CLOCK_SLACK = 0.1


class Observability(grpc.aio.ServerInterceptor):
    """Wraps every handler. Also knows how many guard calls are in flight, for a graceful stop."""

    def __init__(self, metrics: Metrics, tracer: Tracer) -> None:
        self._metrics = metrics
        self._tracer = tracer
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def idle(self) -> None:
        """Return once no call of the guard service is in flight."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler that the call resolves to, if any."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        call = _Call(handler_call_details.method, handler.request_streaming, handler.response_streaming)
        kind = "_".join("stream" if s else "unary" for s in (handler.request_streaming, handler.response_streaming))
        return getattr(grpc, f"{kind}_rpc_method_handler")(
            self._wrap(getattr(handler, kind), call), handler.request_deserializer, handler.response_serializer
        )

    def _wrap(self, behaviour: Callable[..., Any], call: _Call) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(behaviour):

            async def generate(request: Any, context: Any) -> AsyncIterator[Any]:
                with self._observe(call, context):
                    async for response in behaviour(request, context):
                        yield response

            return generate

        async def handle(request: Any, context: Any) -> Any:
            with self._observe(call, context):
                return await behaviour(request, context)

        return handle

    @contextmanager
    def _observe(self, call: _Call, context: Any) -> Iterator[None]:
        metadata = context.invocation_metadata() or ()
        name = request_id(value for key, value in metadata if key == REQUEST_ID_KEY)
        REQUEST_ID.set(name)
        CALLER.set(who := caller(context))
        context.set_trailing_metadata(((REQUEST_ID_KEY, name),))
        guarded = call.service == SERVICE
        line = access_log.begin()
        held = ExitStack()
        # Probes come every few seconds; nobody traces them.
        sent = {key: value for key, value in metadata if isinstance(value, str)}
        span = held.enter_context(self._tracer.call(sent)) if guarded else None
        self._enter(guarded)
        self._metrics.rpc_started(call.service, call.method, call.kind)
        started = time.perf_counter()
        code = "UNKNOWN"  # what grpc makes of an exception that is neither an abort nor a cancellation
        try:
            yield
            code = _code(context)
        except grpc.aio.AbortError:
            code = _code(context)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            code = "DEADLINE_EXCEEDED" if ran_out_of_time(context) else "CANCELLED"
            raise
        finally:
            seconds = time.perf_counter() - started
            self._leave(guarded)
            self._metrics.rpc_handled(call.service, call.method, call.kind, code, seconds)
            if guarded:
                self._metrics.request_handled(call.method, code, seconds)
            line |= {
                "service": call.service,
                "method": call.method,
                "code": code,
                "seconds": round(seconds, 6),
                "request_id": name,
                "peer": context.peer(),
                "caller": who,
            }
            if span is not None:
                called = f"{call.service}/{call.method}"
                asked = {"rpc.system.name": "grpc", "rpc.method": called, "xmguard.request_id": name}
                span.ended(called, code, asked)
            held.close()
            # Probes would drown everything else.
            access_log.write("rpc", line, level=logging.INFO if guarded else logging.DEBUG)

    def _enter(self, guarded: bool) -> None:
        if guarded:
            self._in_flight += 1
            self._idle.clear()

    def _leave(self, guarded: bool) -> None:
        if guarded:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()


class _Call:
    def __init__(self, path: str, request_streaming: bool, response_streaming: bool) -> None:
        self.service, _, self.method = path.lstrip("/").partition("/")
        self.kind = {
            (False, False): "unary",
            (True, False): "client_stream",
            (False, True): "server_stream",
            (True, True): "bidi_stream",
        }[request_streaming, response_streaming]


def ran_out_of_time(context: Any) -> bool:
    """Whether a cancelled call ended because its deadline passed, rather than because its caller left.

    grpc ends a handler the same way for both; only the clock tells them apart. The caller's clock ends the call a
    little before ours does.
    """
    remaining: float | None = context.time_remaining()
    return remaining is not None and remaining < _CLOCK_SLACK


def request_id(sent: Iterable[str | bytes]) -> str:
    """The id that a caller sent, if it is one that can be told to logs and headers; else a new one."""
    for value in sent:
        if isinstance(value, str) and ACCEPTED_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex


def _code(context: Any) -> str:
    code = context.code()
    return code.name if isinstance(code, grpc.StatusCode) else _CODES[code or 0]
