"""What a failed call tells its caller: one table of codes, and rich details for every error.

Only errors raised on purpose are shown. Anything else is a bug: its traceback goes to the log, and the caller gets
INTERNAL with the request id to look it up by.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
import grpc.aio

from xmguard import wire
from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard_server.access_log import note
from xmguard_server.interceptors import REQUEST_ID, ran_out_of_time
from xmguard_server.workers.faults import internal


@dataclass(frozen=True)
class Statuses:
    """What a code is called on the wire."""

    grpc: grpc.StatusCode
    http: int


@dataclass(frozen=True)
class Row:
    """What goes with a reason."""

    codes: tuple[ErrorCode, ...]
    """Codes that it comes with."""
    retry: bool = False
    """Whether the error may say after how long asking again makes sense (RetryInfo, Retry-After)."""
    http: int | None = None
    """HTTP status, where it is not the code's."""
    suspect: bool = False
    """Whether the request may be what broke its worker: libraries that repeat calls by themselves are told not to."""


CODES: Mapping[ErrorCode, Statuses] = {
    ErrorCode.INVALID_ARGUMENT: Statuses(grpc.StatusCode.INVALID_ARGUMENT, 400),
    ErrorCode.NOT_FOUND: Statuses(grpc.StatusCode.NOT_FOUND, 404),
    ErrorCode.FAILED_PRECONDITION: Statuses(grpc.StatusCode.FAILED_PRECONDITION, 400),
    ErrorCode.RESOURCE_EXHAUSTED: Statuses(grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    ErrorCode.UNIMPLEMENTED: Statuses(grpc.StatusCode.UNIMPLEMENTED, 501),
    ErrorCode.UNAVAILABLE: Statuses(grpc.StatusCode.UNAVAILABLE, 503),
    ErrorCode.DEADLINE_EXCEEDED: Statuses(grpc.StatusCode.DEADLINE_EXCEEDED, 504),
    ErrorCode.CANCELLED: Statuses(grpc.StatusCode.CANCELLED, 499),
    ErrorCode.UNAUTHENTICATED: Statuses(grpc.StatusCode.UNAUTHENTICATED, 401),
    ErrorCode.PERMISSION_DENIED: Statuses(grpc.StatusCode.PERMISSION_DENIED, 403),
    ErrorCode.INTERNAL: Statuses(grpc.StatusCode.INTERNAL, 500),
}

REASONS: Mapping[Reason, Row] = {
    Reason.REQUEST_INVALID: Row(
        (
            ErrorCode.INVALID_ARGUMENT,
            ErrorCode.NOT_FOUND,
            ErrorCode.FAILED_PRECONDITION,
            ErrorCode.RESOURCE_EXHAUSTED,
            ErrorCode.UNIMPLEMENTED,
        )
    ),
    Reason.REQUEST_MALFORMED: Row((ErrorCode.INVALID_ARGUMENT,)),
    Reason.PROMPT_TOO_LONG: Row((ErrorCode.INVALID_ARGUMENT,)),
    Reason.REQUEST_TOO_LARGE: Row((ErrorCode.RESOURCE_EXHAUSTED,), http=413),
    Reason.MODALITY_NOT_SUPPORTED: Row((ErrorCode.FAILED_PRECONDITION,)),
    Reason.MODEL_NOT_FOUND: Row((ErrorCode.NOT_FOUND,)),
    Reason.MODEL_REFUSED: Row((ErrorCode.FAILED_PRECONDITION,)),
    Reason.MODEL_LOADING: Row((ErrorCode.UNAVAILABLE,), retry=True),
    Reason.PLUGIN_FAILED: Row((ErrorCode.FAILED_PRECONDITION,)),
    Reason.SETUP_INCOMPLETE: Row((ErrorCode.FAILED_PRECONDITION, ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL)),
    Reason.ENGINE_FAILED: Row(
        (
            ErrorCode.UNAVAILABLE,
            ErrorCode.INTERNAL,
            ErrorCode.FAILED_PRECONDITION,
            ErrorCode.RESOURCE_EXHAUSTED,
        ),
        retry=True,
        suspect=True,
    ),
    Reason.OUT_OF_MEMORY: Row((ErrorCode.RESOURCE_EXHAUSTED,)),
    Reason.WORKER_LOST: Row((ErrorCode.UNAVAILABLE,), retry=True, suspect=True),
    Reason.QUEUE_FULL: Row((ErrorCode.RESOURCE_EXHAUSTED,), retry=True),
    Reason.QUEUE_TIMEOUT: Row((ErrorCode.RESOURCE_EXHAUSTED,), retry=True),
    Reason.CALLER_LIMIT: Row((ErrorCode.RESOURCE_EXHAUSTED,), retry=True),
    Reason.SHUTTING_DOWN: Row((ErrorCode.UNAVAILABLE,)),
    Reason.SERVER_UNREACHABLE: Row((ErrorCode.UNAVAILABLE, ErrorCode.UNIMPLEMENTED)),
    Reason.UNAUTHENTICATED: Row((ErrorCode.UNAUTHENTICATED,)),
    Reason.PERMISSION_DENIED: Row((ErrorCode.PERMISSION_DENIED,)),
    Reason.DEADLINE_EXCEEDED: Row((ErrorCode.DEADLINE_EXCEEDED,)),
    Reason.CANCELLED: Row((ErrorCode.CANCELLED,)),
    Reason.INTERNAL: Row((ErrorCode.INTERNAL,)),
}


def http_status(error: XmguardError) -> int:
    """The HTTP status of an error."""
    return REASONS[error.reason].http or CODES[error.code].http


_GONE = (grpc.aio.InternalError, grpc.aio.UsageError)
"""What sending raises when the caller left a moment ago and the handler is not cancelled yet; it is, in effect."""

_PUSHBACK = "grpc-retry-pushback-ms"
"""When gRPC itself repeats a call (gRFC A6): it knows no RetryInfo, and would be back in 0.1 s."""
_NEVER = "-1"
"""Five attempts of a request that breaks its worker would break five."""

_STATUS_SECONDS = 0.5
"""How long a status may take to be on its way; it waits behind what a reader does not take, and arrives after it."""

logger = logging.getLogger(__name__)


@asynccontextmanager
async def rich_errors(context: Any, rejected: Callable[[Reason], None]) -> AsyncIterator[None]:
    """End the call with a rich status if the body raises; `rejected` hears the reason of every call that fails.

    `context` is the call's grpc.aio.ServicerContext.
    """

    def refuse(reason: Reason) -> None:
        rejected(reason)
        note(reason=reason.value)

    try:
        yield
    except asyncio.CancelledError:
        refuse(Reason.DEADLINE_EXCEEDED if ran_out_of_time(context) else Reason.CANCELLED)
        raise  # grpc never frees the call when this is swallowed
    except _GONE as gone:
        refuse(Reason.DEADLINE_EXCEEDED if ran_out_of_time(context) else Reason.CANCELLED)
        raise asyncio.CancelledError from gone
    except XmguardError as error:
        refuse(error.reason)
        await abort(context, error)
    except Exception:
        refuse(Reason.INTERNAL)
        request_id = REQUEST_ID.get()
        logger.exception("request %s failed", request_id)
        await abort(context, internal(request_id))


async def abort(context: Any, error: XmguardError) -> NoReturn:
    """End a call with the rich status of an error; `context` is the call's grpc.aio.ServicerContext."""
    status = wire.to_status(error)
    trailers = (*context.trailing_metadata(), ("grpc-status-details-bin", status.SerializeToString()))
    if REASONS[error.reason].suspect:
        trailers = (*trailers, (_PUSHBACK, _NEVER))
    elif error.retry_after is not None:
        trailers = (*trailers, (_PUSHBACK, str(math.ceil(error.retry_after * 1000))))
    try:
        async with asyncio.timeout(_STATUS_SECONDS):
            await context.abort(CODES[error.code].grpc, status.message, trailers)
    except (*_GONE, TimeoutError) as gone:
        raise asyncio.CancelledError from gone
    raise AssertionError("abort returned")  # it raises; the type checker does not know
