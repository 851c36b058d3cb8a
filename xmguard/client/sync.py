"""The client for code without an event loop."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from itertools import count
from types import TracebackType
from typing import Any, TypeVar, Unpack

import grpc
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


class Client(Connection):
    """A connection to a served guard. Safe to share between threads.

        with Client("127.0.0.1:50051") as client:
            answer = client.answer(question="How tall is it?", spans=[Span(text="..."), Span(text="...")])

    Methods that take a request take an `AnswerRequest`, its fields as keywords, or both (keywords then override), and
    beside it `timeout`, in seconds, for this call, and `request_id`, up to 128 letters, digits and `._:-`, which the
    server's log and its errors repeat.
    All raise XmguardError: `InvalidRequest` with every violation, `DeadlineExceeded`, `ModelNotFound`, or with
    reason SERVER_UNREACHABLE when no connection to the address comes about. A client that was closed raises it too.

    Calls that a busy or restarting server turned away are made again as `retries` says, within the call's time.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_SECONDS,
        token: str = "",
        tls: Tls | None = None,
        retries: Retries | None = None,
    ) -> None:
        """`timeout` is in seconds, for each call; the server stops working on a call when it has passed.

        The server has a limit of its own, 300 s unless it was given another one; a longer timeout, `math.inf` too, ends
        there.
        `token` goes with every call, in clear text only to this machine. Without `tls` nothing is encrypted.

        Raises:
            SetupIncomplete: a file of `tls` cannot be read or is no PEM, or the token is none.
            XmguardError: a token would go to another machine without `tls`.
        """
        super().__init__(address, timeout, token, tls, retries or Retries())
        options = self._options()
        if tls is None:
            self._channel = grpc.insecure_channel(address, options=options)
        else:
            self._channel = grpc.secure_channel(address, tls.credentials(), options=options)

    def answer(
        self,
        request: AnswerRequest | None = None,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **fields: Unpack[RequestFields],
    ) -> AnswerResponse:
        """The answer in one piece."""
        return self._call(wire.ANSWER, merged(request, fields), timeout, request_id)

    def check(
        self,
        request: AnswerRequest | None = None,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **fields: Unpack[RequestFields],
    ) -> CheckResponse:
        """The verdict and the contributions without the long answer."""
        return self._call(wire.CHECK, merged(request, fields), timeout, request_id)

    def model(self, name: str = "") -> ModelInfo:
        """What is served, with its limits."""
        return self._call(wire.GET_MODEL, name, None, "")

    def stream(
        self,
        request: AnswerRequest | None = None,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **fields: Unpack[RequestFields],
    ) -> Generator[Event, None, None]:
        """The answer as events: Started, the verdict, deltas, Done.

        Closing the generator, or dropping it, cancels the call; the server stops within one decoding step. A stream
        that breaks after its first event raises.
        """
        within = self._within(timeout)
        data = packed(wire.STREAM_ANSWER.pack_request, merged(request, fields))
        yield from self._begun(data, within, request_id, self._busy(wire.STREAM_ANSWER.name, within))

    def restarting_stream(
        self,
        request: AnswerRequest | None = None,
        *,
        timeout: float | None = None,
        request_id: str = "",
        **fields: Unpack[RequestFields],
    ) -> Generator[Event | Restarted, None, None]:
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
                yield from self._begun(data, within, request_id, busy)
            except XmguardError as error:
                seconds, broke = delay(error), error
                if seconds is False or number > self._retries.attempts:
                    raise
            else:
                return
            time.sleep(seconds)
            yield Restarted(number, broke)

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

    def _begun(self, data: bytes, within: CallTime, request_id: str, busy: WhenBusy) -> Generator[Event, None, None]:
        """The events of a stream that is asked for again, as `busy` says, until it begins."""
        for attempt in stamina.retry_context(on=busy, attempts=self._retries.attempts, timeout=None):
            busy.begin(attempt.num)
            with attempt:
                events = self._events(data, within, request_id)
                first = next(events)
        try:
            yield first
            yield from events
        finally:
            events.close()

    def _events(self, data: bytes, within: CallTime, request_id: str) -> Generator[Event, None, None]:
        method = wire.STREAM_ANSWER
        with self._errors(within.seconds):
            stub: Any = self._channel.unary_stream(method.path)
            call = stub(data, timeout=within.left(), metadata=self._metadata(request_id))
            try:
                order = Order()
                for event in _whole(order, call):
                    if isinstance(event, Done):
                        # Whoever has Done stops reading, which would cancel a call that is all but over. It holds the
                        # whole response, so that nothing is lost with a connection that breaks only now.
                        with suppress(grpc.RpcError):
                            for _ in _whole(order, call):
                                pass
                        yield event
                        return
                    yield event
                order.finish()
            finally:
                call.cancel()

    def _call(
        self, method: wire.Method[RequestT, ResponseT], request: RequestT, timeout: float | None, request_id: str
    ) -> ResponseT:
        data = packed(method.pack_request, request)
        within = self._within(timeout)
        busy = self._busy(method.name, within)
        for attempt in stamina.retry_context(on=busy, attempts=self._retries.attempts, timeout=None):
            busy.begin(attempt.num)
            with attempt, self._errors(within.seconds):
                stub: Any = self._channel.unary_unary(method.path)
                response: bytes = stub(data, timeout=within.left(), metadata=self._metadata(request_id))
        return method.unpack_response(response)


def _whole(order: Order, responses: Iterator[bytes]) -> Iterator[Event]:
    for response in responses:
        yield order.next(wire.STREAM_ANSWER.unpack_response(response))
