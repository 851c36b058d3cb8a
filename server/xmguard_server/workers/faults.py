"""What an exception that ends a request comes to for its caller: an error on purpose, no memory left, or a bug."""

from __future__ import annotations

import errno
import gc
import logging
import traceback

from xmguard.errors import ErrorCode, Reason, XmguardError

_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory")
"""What the allocators under an engine say, in lower case, where they have no exception class for it."""

logger = logging.getLogger(__name__)


def fault(error: BaseException, request_id: str) -> XmguardError:
    """The error that the caller is told of; what is not the caller's business goes to the log.

    Frees what the frames of an exception for want of memory hold.
    """
    if isinstance(error, XmguardError):
        return error
    if is_out_of_memory(error):
        logger.warning("request %s ran out of memory: %s", request_id, type(error).__name__)
        release(error)
        return XmguardError(
            "the worker has not enough memory for this request; send fewer or shorter spans, or ask for fewer tokens",
            code=ErrorCode.RESOURCE_EXHAUSTED,
            reason=Reason.OUT_OF_MEMORY,
        )
    logger.error("request %s failed", request_id, exc_info=error)
    return internal(request_id)


def internal(request_id: str) -> XmguardError:
    """What a caller is told of a bug."""
    return XmguardError(f"internal error; the server's log has it under request {request_id}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused, by Python, by the system, or by an engine's allocator for CPU or GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)


def release(error: BaseException) -> None:
    """Let go of what the frames of the exception and of those behind it hold, and collect it."""
    chained: BaseException | None = error
    while chained is not None:
        traceback.clear_frames(chained.__traceback__)
        chained = chained.__cause__ or chained.__context__
    gc.collect()
