"""What both clients know of their connection: where it goes, as whom, for how long, and what its failures mean."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypedDict, TypeVar

import grpc
import grpc.aio

from xmguard import wire
from xmguard.client.credentials import Tls, check_token, is_this_machine, require_private
from xmguard.client.retries import Retries, WhenBusy
from xmguard.client.transport import explained
from xmguard.errors import Cancelled, ErrorCode, InvalidRequest, Reason, XmguardError
from xmguard.request import REQUEST_ID, AnswerRequest, Decoding, Detail, OnConflict, OnError, Prompt, Rebalance
from xmguard.response import Limits
from xmguard.span import Span

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_SECONDS = 60.0
"""A call's time, unless the caller names one."""

RequestT = TypeVar("RequestT")

_STATUS_KEY = "grpc-status-details-bin"
_REQUEST_ID_KEY = "x-request-id"
_MAX_BYTES = Limits().max_message_bytes
_LONGEST = 30 * 86_400.0
"""Seconds. Servers end calls sooner; grpc ends one at once whose deadline is too far away for it, as infinity is."""


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


@dataclasses.dataclass(frozen=True)
class CallTime:
    """How long one call may take, with all that is tried for it."""

    seconds: float
    end: float
    """When it is up, by `time.monotonic`."""

    def left(self) -> float:
        """Seconds until the end, for grpc: 0 ends a call at once."""
        return max(0.0, self.end - time.monotonic())


class Connection:
    """Settings of one client."""

    def __init__(self, address: str, timeout: float, token: str, tls: Tls | None, retries: Retries) -> None:
        if token:
            check_token(token, "the argument token")
            require_private(address, encrypted=tls is not None)
        self._address = address
        self._timeout = timeout
        self._token = token
        self._tls = tls
        self._retries = retries
        self._closed = False

    def _options(self) -> tuple[tuple[str, Any], ...]:
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", _MAX_BYTES),
            ("grpc.max_receive_message_length", _MAX_BYTES),
            ("grpc.enable_retries", 1),
            ("grpc.service_config", self._retries.service_config()),
        ]
        if self._tls is not None and self._tls.server_name:
            options.append(("grpc.ssl_target_name_override", self._tls.server_name))
        if is_this_machine(self._address):
            # A proxy that the environment names (http_proxy) is another machine, and cannot reach this one's loopback.
            options.append(("grpc.enable_http_proxy", 0))
        return tuple(options)

    def _metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        sent = []
        if self._token:
            sent.append(("authorization", f"Bearer {self._token}"))
        if request_id:
            if REQUEST_ID.fullmatch(request_id) is None:
                fault = "must be 1 to 128 ASCII letters, digits, and any of . _ : -"
                raise InvalidRequest.field("request_id", fault)
            sent.append((_REQUEST_ID_KEY, request_id))
        return tuple(sent)

    def _within(self, timeout: float | None) -> CallTime:
        """The time of a call that begins now; None is the client's own."""
        seconds = self._timeout if timeout is None else timeout
        if math.isnan(seconds):
            raise InvalidRequest.field("timeout", "is no number; give seconds, or math.inf to leave it to the server")
        return CallTime(seconds, time.monotonic() + min(seconds, _LONGEST))

    def _busy(self, call: str, within: CallTime) -> WhenBusy:
        """When a call is made again."""
        return WhenBusy(f"{call} at {self._address}", self._retries.attempts, within.end)

    @contextmanager
    def _errors(self, seconds: float) -> Iterator[None]:
        """Turn what grpc raises into what the server, the network or the caller did. `seconds`: the call had them."""
        try:
            yield
        except grpc.RpcError as failure:
            raise _error(self._address, seconds, self._tls is not None, failure) from failure
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


def merged(request: AnswerRequest | None, fields: RequestFields) -> AnswerRequest:
    """A request with some of its fields replaced."""
    given: dict[str, Any] = dict(fields)
    if "spans" in given and not isinstance(given["spans"], str):
        given["spans"] = tuple(given["spans"])
    return dataclasses.replace(request or AnswerRequest(), **given)


def packed(pack: Callable[[RequestT], bytes], request: RequestT) -> bytes:
    """The bytes of a request. Raises InvalidRequest where they are more than a server takes: they are not sent."""
    data = pack(request)
    if len(data) > _MAX_BYTES:
        raise InvalidRequest.field(
            "spans",
            f"the request is {len(data):,} bytes and at most {_MAX_BYTES:,} can be sent; send fewer or smaller spans",
        )
    return data


def _error(address: str, seconds: float, encrypted: bool, failure: Any) -> XmguardError:
    trailers = failure.trailing_metadata() or ()
    data = next((value for key, value in trailers if key == _STATUS_KEY), None)
    code: str = failure.code().name
    error = wire.from_status(code, failure.details() or "", data)
    if data is None:
        error = explained(address, seconds, encrypted, error)
    error.request_id = next((value for key, value in trailers if key == _REQUEST_ID_KEY), "")
    return error
