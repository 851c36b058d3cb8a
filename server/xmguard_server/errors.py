"""What a failed call tells its caller: one table of codes, and rich details for every error.

Only errors raised on purpose are shown. Anything else is a bug: its traceback goes to the log, and the caller gets
INTERNAL with the request id to look it up by.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import grpc
import grpc.aio

from xmguard import wire
from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard_server.interceptors import REQUEST_ID, ran_out_of_time

STATUS_CODES: Mapping[ErrorCode, grpc.StatusCode] = {
    ErrorCode.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.FAILED_PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.RESOURCE_EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    ErrorCode.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    ErrorCode.CANCELLED: grpc.StatusCode.CANCELLED,
    ErrorCode.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    ErrorCode.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    ErrorCode.INTERNAL: grpc.StatusCode.INTERNAL,
}

_GONE = (grpc.aio.InternalError, grpc.aio.UsageError)
"""What sending raises when the caller left a moment ago and the handler is not cancelled yet; it is, in effect."""

logger = logging.getLogger(__name__)


@asynccontextmanager
async def rich_errors(context: Any, rejected: Callable[[Reason], None]) -> AsyncIterator[None]:
    """End the call with a rich status if the body raises; `rejected` hears the reason of every call that fails.

    `context` is the call's grpc.aio.ServicerContext.
    """
    try:
        yield
    except asyncio.CancelledError:
        rejected(Reason.DEADLINE_EXCEEDED if ran_out_of_time(context) else Reason.CANCELLED)
        raise  # grpc never frees the call when this is swallowed
    except _GONE as gone:
        rejected(Reason.DEADLINE_EXCEEDED if ran_out_of_time(context) else Reason.CANCELLED)
        raise asyncio.CancelledError from gone
    except XmguardError as error:
        rejected(error.reason)
        await _abort(context, error)
    except Exception:
        rejected(Reason.INTERNAL)
        request_id = REQUEST_ID.get()
        logger.exception("request %s failed", request_id)
        await _abort(context, XmguardError(f"internal error; the server's log has it under request {request_id}"))


async def _abort(context: Any, error: XmguardError) -> NoReturn:
    status = wire.to_status(error)
    trailers = (*context.trailing_metadata(), ("grpc-status-details-bin", status.SerializeToString()))
    try:
        await context.abort(STATUS_CODES[error.code], status.message, trailers)
    except _GONE as gone:
        raise asyncio.CancelledError from gone
    raise AssertionError("abort returned")  # it raises; the type checker does not know
