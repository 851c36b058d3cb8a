"""The guard service's four methods over gRPC: bytes in, a call of the guard, bytes out.

The bytes of requests and answers pass through to a worker and back; what a call may cost and how long it may take is
the business of `calls`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import grpc

from xmguard import wire
from xmguard.errors import Cancelled
from xmguard_server.callers import CALLER
from xmguard_server.calls import Call, Calls
from xmguard_server.errors import rich_errors
from xmguard_server.interceptors import REQUEST_ID
from xmguard_server.metrics import Metrics

_LEAVING_SECONDS = 0.1
"""For the end of a write whose caller has left."""


class GuardServicer:
    """Handlers of the guard service."""

    def __init__(self, calls: Calls, metrics: Metrics, *, send_timeout: float) -> None:
        """`send_timeout`: seconds that a caller may leave a part of its stream untaken."""
        self._calls = calls
        self._send_timeout = send_timeout
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
            return await self._calls.response(wire.ANSWER, data, _call(context))

    async def _check(self, data: bytes, context: Any) -> bytes:
        async with rich_errors(context, self._metrics.rejected):
            return await self._calls.response(wire.CHECK, data, _call(context))

    async def _stream_answer(self, data: bytes, context: Any) -> None:
        async with (
            rich_errors(context, self._metrics.rejected),
            aclosing(self._calls.responses(wire.STREAM_ANSWER, data, _call(context))) as responses,
        ):
            async for response in responses:
                await self._write(response, context)

    async def _get_model(self, data: bytes, context: Any) -> bytes:
        async with rich_errors(context, self._metrics.rejected):
            return wire.GET_MODEL.pack_response(self._calls.describe(wire.GET_MODEL.unpack_request(data)))

    async def _write(self, response: bytes, context: Any) -> None:
        """Send a part of a stream, or end the call of a reader that takes nothing for too long."""
        writing = asyncio.create_task(context.write(response))
        try:
            done, _ = await asyncio.wait((writing,), timeout=self._send_timeout)
        except asyncio.CancelledError:
            # grpc never frees a write whose end nobody awaits. Of a call that it has cancelled they end at once, unless
            # the peer reads nothing at all: for such a one the call's place is not kept.
            done, _ = await asyncio.wait((writing,), timeout=_LEAVING_SECONDS)
            if not done:
                writing.cancel()
            elif not writing.cancelled():
                writing.exception()  # nobody's news
            raise
        if not done:
            writing.cancel()
            raise Cancelled(f"nothing of the stream was read for {self._send_timeout:g} s, so it was closed")
        writing.result()


def _call(context: Any) -> Call:
    return Call(REQUEST_ID.get(), context.time_remaining(), CALLER.get())
