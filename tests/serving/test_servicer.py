"""What is left of a stream whose caller leaves while a part of it is being written, around a scripted call of grpc."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from xmguard import wire
from xmguard.plugins import load_plugins
from xmguard_server.calls import Call, Calls
from xmguard_server.interceptors import REQUEST_ID
from xmguard_server.metrics import Metrics
from xmguard_server.servicer import GuardServicer


class Endless:
    """Responds for as long as it is asked."""

    closed = False

    async def responses(self, method: object, body: bytes, call: Call) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"part"
        finally:
            self.closed = True


class Context:
    """A call whose first write takes until `over` is set, and then fails if it is to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.writing = asyncio.Event()
        self.over = asyncio.Event()
        self.ends: list[str] = []
        self._failure = failure

    async def write(self, part: bytes) -> None:
        self.writing.set()
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            self.ends.append("dropped")
            raise
        self.ends.append("awaited")
        if self._failure is not None:
            raise self._failure

    async def abort(self, code: grpc.StatusCode, details: str, trailers: object) -> None:
        self.ends.append(code.name)
        raise grpc.aio.AbortError

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def time_remaining(self) -> float | None:
        return None


def handling(calls: Endless, context: Context, *, send_timeout: float = 30.0) -> asyncio.Task[None]:
    """The handler of StreamAnswer, at work."""
    REQUEST_ID.set("1")
    servicer = GuardServicer(cast("Calls", calls), Metrics(load_plugins()), send_timeout=send_timeout)
    handler: Any = servicer.handlers()[wire.STREAM_ANSWER.name]
    return asyncio.create_task(handler.unary_stream(b"", context))


@pytest.mark.parametrize("failure", [None, grpc.aio.InternalError("the call is over")])
async def test_a_write_is_awaited_to_its_end_when_its_caller_leaves(failure: Exception | None) -> None:
    """grpc keeps what a write took when nobody awaits its end; one that failed is nobody's news."""
    unheard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: unheard.append(told))
    calls, context = Endless(), Context(failure)
    task = handling(calls, context)
    await context.writing.wait()
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    context.over.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (context.ends, calls.closed) == (["awaited"], True)
    del task
    await asyncio.sleep(0)  # until then the loop holds it
    gc.collect()
    assert not unheard


async def test_a_write_that_never_ends_does_not_keep_a_call_whose_caller_has_left() -> None:
    calls, context = Endless(), Context()
    task = handling(calls, context)
    await context.writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    await asyncio.sleep(0)
    assert (context.ends, calls.closed) == (["dropped"], True)


async def test_a_write_that_is_not_taken_in_time_is_dropped_and_its_call_ended() -> None:
    calls, context = Endless(), Context()
    with pytest.raises(grpc.aio.AbortError):
        await handling(calls, context, send_timeout=0.01)
    assert (sorted(context.ends), calls.closed) == (["CANCELLED", "dropped"], True)


async def test_a_write_that_fails_ends_the_call_as_if_its_caller_had_left() -> None:
    calls, context = Endless(), Context(grpc.aio.InternalError("the call is over"))
    context.over.set()
    with pytest.raises(asyncio.CancelledError):
        await handling(calls, context)
    assert calls.closed
