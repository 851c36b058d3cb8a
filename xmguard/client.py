"""Typed clients of a served guard, sync and async. Values in, values out; every failure is an XmguardError.

Needs grpc and protobuf only; knows nothing of models or of how the server is built. Nothing is retried here: an
answer is expensive, and only the caller knows whether asking twice makes sense.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypedDict, TypeVar, Unpack

import grpc
import grpc.aio

from xmguard import wire
from xmguard.errors import Cancelled, DeadlineExceeded, ErrorCode, InvalidRequest, Reason, XmguardError
from xmguard.request import AnswerRequest, Decoding, Detail, OnConflict, OnError, Prompt, Rebalance
from xmguard.response import AnswerResponse, CheckResponse, Done, Event, Limits, ModelInfo
from xmguard.span import Span

DEFAULT_ADDRESS = "127.0.0.1:50051"

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

_STATUS_KEY = "grpc-status-details-bin"
_MAX_BYTES = Limits().max_message_bytes
_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", _MAX_BYTES),
    ("grpc.max_receive_message_length", _MAX_BYTES),
)


class RequestFields(TypedDict, total=False):
    """The fields of `AnswerRequest` as keyword arguments."""

    model: str
    spans: Sequence[Span]
    question: str
    prompt: Prompt
    rebalance: Rebalance
    on_conflict: OnConflict
    decoding: Decoding
    detail: Detail
    on_error: OnError
    conflict_threshold: float | None


class _Connection:
    """What both clients know of their connection, and what its failures mean."""

    def __init__(self, address: str, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._closed = False

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what grpc raises into what the server, the network or the caller did."""
        try:
            yield
        except grpc.RpcError as failure:
            raise _error(self._address, self._timeout, failure) from failure
        except (ValueError, grpc.aio.UsageError) as failure:
            if not self._closed:
                raise
            raise XmguardError(
                "this client is closed; make a new one, or ask inside its `with` block",
                code=ErrorCode.FAILED_PRECONDITION,
                reason=Reason.REQUEST_INVALID,
            ) from failure
        except asyncio.CancelledError as failure:
            # Closing a channel ends its calls in the same way as cancelling the task that waits for one.
            task = asyncio.current_task()
            if not self._closed or task is None or task.cancelling():
                raise
            raise Cancelled("the client was closed while this call was in progress") from failure


class Client(_Connection):
    """A connection to a served guard, for code without an event loop. Safe to share between threads.

        with Client("127.0.0.1:50051") as client:
            answer = client.answer(question="How tall is it?", spans=[Span(text="..."), Span(text="...")])

    Methods that take a request take an `AnswerRequest`, its fields as keywords, or both (keywords then override).
    All raise XmguardError: `InvalidRequest` with every violation, `DeadlineExceeded`, `ModelNotFound`, or with
    reason SERVER_UNREACHABLE when nothing answers at the address. A client that was closed raises it too.
    """

    def __init__(self, address: str = DEFAULT_ADDRESS, *, timeout: float = 60.0) -> None:
        """`timeout` is in seconds, for each call; the server stops working on a call when it has passed.

        The server has a limit of its own, 300 s unless it was given another one; a longer timeout ends there.
        """
        super().__init__(address, timeout)
        self._channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)

    def answer(self, request: AnswerRequest | None = None, **fields: Unpack[RequestFields]) -> AnswerResponse:
        """The answer in one piece."""
        return self._call(wire.ANSWER, _request(request, fields))

    def check(self, request: AnswerRequest | None = None, **fields: Unpack[RequestFields]) -> CheckResponse:
        """The verdict and the contributions without the long answer."""
        return self._call(wire.CHECK, _request(request, fields))

    def model(self, name: str = "") -> ModelInfo:
        """What is served, with its limits."""
        return self._call(wire.GET_MODEL, name)

    def stream(
        self, request: AnswerRequest | None = None, **fields: Unpack[RequestFields]
    ) -> Generator[Event, None, None]:
        """The answer as events: Started, the verdict, deltas, Done.

        Closing the generator, or dropping it, cancels the call; the server stops within one decoding step.
        """
        method = wire.STREAM_ANSWER
        data = _pack(method.pack_request, _request(request, fields))
        with self._errors():
            stub: Any = self._channel.unary_stream(method.path)
            call = stub(data, timeout=self._timeout)
            try:
                order = _Order()
                for response in call:
                    event = order.next(method.unpack_response(response))
                    if isinstance(event, Done):
                        # Whoever has Done stops reading, which would cancel a call that is all but over.
                        for extra in call:
                            order.next(method.unpack_response(extra))
                    yield event
                order.finish()
            finally:
                call.cancel()

    def close(self) -> None:
        """Close the connection; calls in progress are cancelled."""
        self._closed = True
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: wire.Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        data = _pack(method.pack_request, request)
        with self._errors():
            stub: Any = self._channel.unary_unary(method.path)
            response: bytes = stub(data, timeout=self._timeout)
        return method.unpack_response(response)


class AsyncClient(_Connection):
    """The same for asyncio: `async with`, `await`, `async for`. Must be made and used inside one event loop."""

    def __init__(self, address: str = DEFAULT_ADDRESS, *, timeout: float = 60.0) -> None:
        """`timeout` is in seconds, for each call; the server stops working on a call when it has passed.

        The server has a limit of its own, 300 s unless it was given another one; a longer timeout ends there.
        """
        super().__init__(address, timeout)
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)

    async def answer(self, request: AnswerRequest | None = None, **fields: Unpack[RequestFields]) -> AnswerResponse:
        """The answer in one piece."""
        return await self._call(wire.ANSWER, _request(request, fields))

    async def check(self, request: AnswerRequest | None = None, **fields: Unpack[RequestFields]) -> CheckResponse:
        """The verdict and the contributions without the long answer."""
        return await self._call(wire.CHECK, _request(request, fields))

    async def model(self, name: str = "") -> ModelInfo:
        """What is served, with its limits."""
        return await self._call(wire.GET_MODEL, name)

    async def stream(
        self, request: AnswerRequest | None = None, **fields: Unpack[RequestFields]
    ) -> AsyncGenerator[Event, None]:
        """The answer as events: Started, the verdict, deltas, Done.

        Closing the generator (`aclose`), or cancelling the task that iterates, cancels the call.
        """
        method = wire.STREAM_ANSWER
        data = _pack(method.pack_request, _request(request, fields))
        with self._errors():
            stub: Any = self._channel.unary_stream(method.path)
            call = stub(data, timeout=self._timeout)
            try:
                order = _Order()
                async for response in call:
                    event = order.next(method.unpack_response(response))
                    if isinstance(event, Done):
                        async for extra in call:  # as in Client.stream
                            order.next(method.unpack_response(extra))
                    yield event
                order.finish()
            finally:
                call.cancel()

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

    async def _call(self, method: wire.Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        data = _pack(method.pack_request, request)
        with self._errors():
            stub: Any = self._channel.unary_unary(method.path)
            response: bytes = await stub(data, timeout=self._timeout)
        return method.unpack_response(response)


class _Order:
    """Checks that a stream is whole: numbered without gaps, and ended by Done."""

    def __init__(self) -> None:
        self._expected = 0
        self._done = False

    def next(self, numbered: wire.Numbered) -> Event:
        sequence, event = numbered
        if sequence != self._expected or self._done:
            raise XmguardError(f"the stream is broken: event {sequence} came where {self._expected} was due")
        self._expected += 1
        self._done = isinstance(event, Done)
        return event

    def finish(self) -> None:
        if not self._done:
            raise XmguardError("the stream ended without its last event; the answer may be incomplete")


def _request(request: AnswerRequest | None, fields: RequestFields) -> AnswerRequest:
    given: dict[str, Any] = dict(fields)
    if "spans" in given and not isinstance(given["spans"], str):
        given["spans"] = tuple(given["spans"])
    return dataclasses.replace(request or AnswerRequest(), **given)


def _pack(pack: Callable[[RequestT], bytes], request: RequestT) -> bytes:
    data = pack(request)
    if len(data) > _MAX_BYTES:
        raise InvalidRequest.field(
            "spans",
            f"the request is {len(data):,} bytes and at most {_MAX_BYTES:,} can be sent; send fewer or smaller spans",
        )
    return data


def _error(address: str, timeout: float, failure: Any) -> XmguardError:
    trailers = failure.trailing_metadata() or ()
    data = next((value for key, value in trailers if key == _STATUS_KEY), None)
    code: str = failure.code().name
    error = wire.from_status(code, failure.details() or "", data)
    if data is not None:
        return error
    # Nothing from the server itself: what is left are the transport's words, which say nothing of what to do.
    if error.code is ErrorCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(
            f"{address} did not finish within {timeout:g} s; ask for less, or give a longer timeout"
        )
    if error.reason is not Reason.SERVER_UNREACHABLE:
        return error
    if error.code is ErrorCode.UNIMPLEMENTED:
        message = f"what answers at {address} is not an xmguard server, or an older one; check the address"
    else:
        message = f"no xmguard server answers at {address}; start one with `xmguard serve`, or check the address"
    return XmguardError(message, code=error.code, reason=error.reason)
