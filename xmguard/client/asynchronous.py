"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, suppress
from itertools import count
from types import TracebackType
from typing import Any, TypeVar, Unpack

import grpc.aio
import stamina

from xmguard import wire
from xmguard.client.credentials import Tls
from xmguard.client.order import Order, Restarted
from xmguard.client.retries import Retries, WhenBusy, when_broken
from xmguard.client.settings import (
    DEFAULT_ADDRESS,
    DEFAULT_SECONDS,
    CallTime,
    Connection,
    RequestFields,
    merged,
    packed,
)
from xmguard.errors import XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import AnswerResponse, CheckResponse, Done, Event, ModelInfo

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class AsyncClient(Connection):
    """The same as `Client`: `async with`, `await`, `async for`. Must be made and used inside one event loop."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_SECONDS,
        token: str = "",
        tls: Tls | None = None,
        retries: Retries | None = None,
    ) -> None:
        """As `Client`."""
        super().__init__(address, timeout, token, tls, retries or Retries())
        options = self._options()
        if tls is None:
            self._channel = grpc.aio.insecure_channel(address, options=options)
        else:
            self._channel = grpc.aio.secure_channel(address, tls.credentials(), options=options)

    async def answer(
        self,
        request: AnswerRequest | None = None,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **fields: Unpack[RequestFields],
    ) -> AnswerResponse:
        """The answer in one piece."""
        return await self._call(wire.ANSWER, merged(request, fields), timeout, request_id)

    async def check(
        self,
        request: AnswerRequest | None = None,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **fields: Unpack[RequestFields],
    ) -> CheckResponse:
        """The verdict and the contributions without the long answer."""
        return await self._call(wire.CHECK, merged(request, fields), timeout, request_id)

    async def model(self, name: str = "") -> ModelInfo:
        """What is served, with its limits."""
        return await self._call(wire.GET_MODEL, name, None, "")

    async def stream(
        self,
        request: AnswerRequest | None = None,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **fields: Unpack[RequestFields],
    ) -> AsyncGenerator[Event, None]:
        """The answer as events: Started, the verdict, deltas, Done.

        Closing the generator (`aclose`), or cancelling the task that iterates, cancels the call. A stream that
        breaks after its first event raises.
        """
        within = self._within(timeout)
        data = packed(wire.STREAM_ANSWER.pack_request, merged(request, fields))
        async with aclosing(
            self._begun(data, within, request_id, self._busy(wire.STREAM_ANSWER.name, within))
        ) as events:
            async for event in events:
                yield event

    async def restarting_stream(
        self,
        request: AnswerRequest | None = None,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **fields: Unpack[RequestFields],
    ) -> AsyncGenerator[Event | Restarted, None]:
        """The same, and where the stream breaks on the way, `Restarted` and then all of it anew.

        At most as often as `retries.attempts` says, and within the call's time. The model may word its answer otherwise
        the second time: what was shown until `Restarted` is to be taken back.
        """
        within = self._within(timeout)
        data = packed(wire.STREAM_ANSWER.pack_request, merged(request, fields))
        busy = self._busy(wire.STREAM_ANSWER.name, within)
        delay = when_broken(within.end, busy)
        for number in count(2):
            try:
                async with aclosing(self._begun(data, within, request_id, busy)) as events:
                    async for event in events:
                        yield event
            except XmguardError as error:
                seconds, broke = delay(error), error
                if seconds is False or number > self._retries.attempts:
                    raise
            else:
                return
            await asyncio.sleep(seconds)
            yield Restarted(number, broke)

    async def close(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        self._closed = True
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _begun(
        self, data: bytes, within: CallTime, request_id: str, busy: WhenBusy
    ) -> AsyncGenerator[Event, None]:
        """The events of a stream that is asked for again, as `busy` says, until it begins."""
        async for attempt in stamina.retry_context(on=busy, attempts=self._retries.attempts, timeout=None):
            busy.begin(attempt.num)
            with attempt:
                events = self._events(data, within, request_id)
                first = await anext(events)
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    async def _events(self, data: bytes, within: CallTime, request_id: str) -> AsyncGenerator[Event, None]:
        method = wire.STREAM_ANSWER
        with self._errors(within.seconds):
            stub: Any = self._channel.unary_stream(method.path)
            call = stub(data, timeout=within.left(), metadata=self._metadata(request_id))
            try:
                order = Order()
                async for event in _whole(order, call):
                    if isinstance(event, Done):
                        # As in `Client`.
                        with suppress(grpc.RpcError):
                            async for _ in _whole(order, call):
                                pass
                        yield event
                        return
                    yield event
                order.finish()
            finally:
                call.cancel()

    async def _call(
        self, method: wire.Method[RequestT, ResponseT], request: RequestT, timeout: float | None, request_id: str
    ) -> ResponseT:
        data = packed(method.pack_request, request)
        within = self._within(timeout)
        busy = self._busy(method.name, within)
        async for attempt in stamina.retry_context(on=busy, attempts=self._retries.attempts, timeout=None):
            busy.begin(attempt.num)
            with attempt, self._errors(within.seconds):
                stub: Any = self._channel.unary_unary(method.path)
                response: bytes = await stub(data, timeout=within.left(), metadata=self._metadata(request_id))
        return method.unpack_response(response)


async def _whole(order: Order, responses: AsyncIterable[bytes]) -> AsyncGenerator[Event, None]:
    async for response in responses:
        yield order.next(wire.STREAM_ANSWER.unpack_response(response))
