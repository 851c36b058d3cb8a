"""The guard service's four methods over gRPC: bytes in, a call of the guard, bytes out.

Only `xmguard.wire` reads or writes the bytes; what a call may cost and how long it may take is the business of `calls`.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import grpc

from xmguard import wire
from xmguard.response import Done
from xmguard_server.callers import caller
from xmguard_server.calls import Call, Calls
from xmguard_server.errors import rich_errors
from xmguard_server.interceptors import REQUEST_ID
from xmguard_server.metrics import Metrics


class GuardServicer:
    """Handlers of the guard service."""

    def __init__(self, calls: Calls, metrics: Metrics) -> None:
        self._calls = calls
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
            async with aclosing(self._calls.stream(request, _call(context))) as events:
                done = [event async for event in events if isinstance(event, Done)]
            return wire.ANSWER.pack_response(done[0].response)

    async def _stream_answer(self, data: bytes, context: Any) -> None:
        async with rich_errors(context, self._metrics.rejected):
            request = wire.STREAM_ANSWER.unpack_request(data)
            sequence = 0
            async with aclosing(self._calls.stream(request, _call(context))) as events:
                async for event in events:
                    await context.write(wire.STREAM_ANSWER.pack_response((sequence, event)))
                    sequence += 1

    async def _check(self, data: bytes, context: Any) -> bytes:
        async with rich_errors(context, self._metrics.rejected):
            request = wire.CHECK.unpack_request(data)
            return wire.CHECK.pack_response(await self._calls.check(request, _call(context)))

    async def _get_model(self, data: bytes, context: Any) -> bytes:
        async with rich_errors(context, self._metrics.rejected):
            return wire.GET_MODEL.pack_response(self._calls.describe(wire.GET_MODEL.unpack_request(data)))


def _call(context: Any) -> Call:
    return Call(REQUEST_ID.get(), context.time_remaining(), caller(context))
