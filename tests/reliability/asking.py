"""Calls as bytes over grpc.aio: what the targets send, and what came of it. Nothing is asked again by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.scripted import REQUEST
from xmguard import wire
from xmguard.response import AnswerResponse, CheckResponse, Done
from xmguard_server.workers.remote import GuardMethod

OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 1 << 26),
    ("grpc.use_local_subchannel_pool", 1),
)


def body(question: str) -> bytes:
    """A request to the stub, packed for every method but StreamAnswer."""
    return wire.ANSWER.pack_request(replace(REQUEST, question=question))


def stream_body(question: str) -> bytes:
    """The same for StreamAnswer."""
    return wire.STREAM_ANSWER.pack_request(replace(REQUEST, question=question))


@dataclass
class Ended:
    """How a call ended."""

    code: str
    seconds: float
    reason: str = ""
    retry: bool = False
    """Whether it was told when to ask again."""
    response: AnswerResponse | CheckResponse | None = None
    words: str = field(default="", repr=False)


@asynccontextmanager
async def channel(address: str) -> AsyncIterator[Any]:
    """A connection of its own."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as opened:
        yield opened


def streaming(opened: Any, question: str, timeout: float = 60) -> Any:
    """A stream that has begun to be asked for; iterate or cancel it."""
    return opened.unary_stream(wire.STREAM_ANSWER.path)(stream_body(question), timeout=timeout)


async def begun(stream: Any) -> None:
    """Wait for its first event, which `whole` then does not see."""
    await anext(aiter(stream))


async def answer(opened: Any, packed: bytes, timeout: float = 60, method: GuardMethod = wire.ANSWER) -> Ended:
    """One Answer, or one Check."""
    began = time.monotonic()
    call = opened.unary_unary(method.path)(packed, timeout=timeout)
    try:
        data = await call
    except grpc.aio.AioRpcError as failure:
        return ended(failure, began)
    return Ended("OK", time.monotonic() - began, response=method.unpack_response(data))


async def whole(stream: Any) -> Ended:
    """Read a stream to its end; OK only with its Done."""
    began, last = time.monotonic(), b""
    try:
        async for event in stream:
            last = event
    except grpc.aio.AioRpcError as failure:
        return ended(failure, began)
    done = wire.STREAM_ANSWER.unpack_response(last)[1] if last else None
    return Ended("OK" if isinstance(done, Done) else "TRUNCATED", time.monotonic() - began)


def ended(failure: Any, began: float) -> Ended:
    """What a failure says."""
    trailers = dict(failure.trailing_metadata() or ())
    result = Ended(failure.code().name, time.monotonic() - began, words=failure.details() or "")
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            result.reason = info.reason
        result.retry = result.retry or detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    return result


@dataclass
class Probes:
    """Health, asked for over and over."""

    seconds: list[float] = field(default_factory=list)
    unhealthy: int = 0


@asynccontextmanager
async def probing(address: str, every: float = 0.01) -> AsyncIterator[Probes]:
    """Ask for health in the background, on a connection of its own."""
    probes = Probes()

    async def probe() -> None:
        async with channel(address) as opened:
            stub = health_pb2_grpc.HealthStub(opened)
            while True:
                began = time.monotonic()
                try:
                    told = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
                    probes.unhealthy += told.status != health_pb2.HealthCheckResponse.SERVING
                except grpc.aio.AioRpcError:
                    probes.unhealthy += 1
                probes.seconds.append(time.monotonic() - began)
                await asyncio.sleep(every)

    task = asyncio.create_task(probe())
    try:
        yield probes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
