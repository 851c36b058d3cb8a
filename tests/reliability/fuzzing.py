"""R10: whatever is sent is answered or refused on purpose: no crash, no UNKNOWN, no INTERNAL, no words of Python."""

from __future__ import annotations

import random
import re
import socket
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc.aio
from hypothesis import HealthCheck, Phase, given, settings

from tests.reliability.asking import channel, ended
from tests.reliability.messages import requests
from tests.reliability.mutation import mutated
from tests.reliability.stage import Served, Stage, misses, real_command
from tests.reliability.target import Finding, Measure, Target
from tests.reliability.tiny import tiny_model
from tests.scripted import health
from xmguard import wire
from xmguard.errors import XmguardError
from xmguard.plugins import load_plugins
from xmguard.profile import Profile
from xmguard.response import Limits
from xmguard.validation import validate

PYTHON = re.compile(r"<class|Traceback|object at 0x|\.py\b|Error\(|Exception|google\.protobuf|builtins|\bNone\b")
"""What Python's own words look like."""
EXPECTED = frozenset(
    ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION")
)
BOMB = 64 << 20


def fuzz(stage: Stage) -> Iterator[Finding]:
    yield from _parsers(stage)
    yield from _values(stage)
    with stage.serve(real_command("--model", str(tiny_model(stage)), "--max-queue", "64")) as served:
        yield from _bodies(stage, served)
        yield from _connections(stage, served)
        yield from stage.do(_bomb(served))
        yield misses("workers lost", int(not served.usable(1)))
        yield misses("front that does not serve", int(served.process.poll() is not None or health(served.address) != 1))
        log = served.log.read_text()
        yield misses("tracebacks in the server's log", log.count("Traceback") + log.count('"traceback"'))


def _parsers(stage: Stage) -> Iterator[Finding]:
    """Bytes to a request, and the request checked, in this process."""
    count, registry = stage.count(20_000, 1_000_000), load_plugins()
    crashes: list[str] = []
    shown: list[str] = []
    valid = 0
    for data in mutated(count):
        try:
            _validate(wire.ANSWER.unpack_request(data), registry)
            valid += 1
        except XmguardError as error:
            if PYTHON.search(str(error)):
                shown.append(str(error))
        except Exception as error:
            crashes.append(f"{type(error).__name__}: {error}"[:100])
    yield Measure("bodies parsed and checked", count, count, at_least=True)
    yield Measure("of them, accepted", valid, 1, at_least=True)
    yield misses(f"crashes{_example(crashes)}", len(crashes))
    yield misses(f"words of Python{_example(shown)}", len(shown))


def _validate(request: Any, registry: Any) -> None:
    validate(
        request,
        model=request.model,
        profile=Profile("", "none", {}),
        limits=Limits(max_prompt_tokens=1000),
        registry=registry,
    )


def _values(stage: Stage) -> Iterator[Finding]:
    """Requests that hypothesis makes of the message's own fields, shrunk to the smallest that breaks."""
    registry, crash = load_plugins(), ""
    count = stage.count(500, 20_000)

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=stage.short,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(requests())
    def holds(data: bytes) -> None:
        try:
            _validate(wire.ANSWER.unpack_request(data), registry)
        except XmguardError as error:
            if PYTHON.search(str(error)):
                raise AssertionError(str(error)) from error

    try:
        holds()
    except Exception as error:
        crash = f"{type(error).__name__}: {error}"[:100]
    yield misses(
        f"of {count:,} requests by hypothesis, kinds that crash{_example([crash] if crash else [])}", bool(crash)
    )


def _bodies(stage: Stage, served: Served) -> Iterator[Finding]:
    """The same over the wire, to every method, with a model behind it."""
    count = stage.count(600, 20_000)
    codes, wrong = stage.do(_sent(served, count))
    yield Measure("bodies over the wire", codes.total(), count, at_least=True)
    for code in ("UNKNOWN", "INTERNAL"):
        yield misses(f"of them, ended with {code}", codes[code])
    other = sum(number for code, number in codes.items() if code not in EXPECTED | {"UNKNOWN", "INTERNAL"})
    yield misses("of them, ended with another code than is expected", other)
    yield misses(f"of them, told words of Python{_example(wrong)}", len(wrong))
    yield Measure("of them, answered", codes["OK"], 1, at_least=True)


async def _sent(served: Served, count: int) -> tuple[Counter[str], list[str]]:
    codes: Counter[str] = Counter()
    wrong: list[str] = []
    methods = list(wire.METHODS)
    async with channel(served.address) as opened:
        for number, data in enumerate(mutated(count, seed=2)):
            method = methods[number % len(methods)]
            # StreamAnswer has the request inside another message.
            body = b"\x0a" + _varint(len(data)) + data if method is wire.STREAM_ANSWER and number % 8 < 4 else data
            call = opened.unary_stream(method.path)(body, timeout=5)
            try:
                async for _ in call:
                    pass
                codes["OK"] += 1
            except grpc.aio.AioRpcError as failure:
                end = ended(failure, 0)
                codes[end.code] += 1
                if PYTHON.search(end.words):
                    wrong.append(f"{end.code} {end.words}"[:100])
    return codes, wrong


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _connections(stage: Stage, served: Served) -> Iterator[Finding]:
    """What is no gRPC at all: noise, other protocols, frames that lie about their length."""
    chance = random.Random(3)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    whole = preface + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    begins = (
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        preface,
        whole,
        whole + b"\xff\xff\xff\x01\x05\x00\x00\x00\x01",
        whole + b"\x00\x40\x00\x00\x00\x00\x00\x00\x01",
    )
    count, host, port = stage.count(70, 2_000), *served.address.split(":")
    for number in range(count):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.settimeout(0.05)
            try:
                connection.sendall(begins[number % len(begins)] + chance.randbytes(chance.randrange(300)))
                connection.recv(4096)
            except OSError:  # closed, or nothing is said: both are right
                continue
    yield Measure("connections with noise", count, count, at_least=True)
    yield misses("health afterwards other than SERVING", int(health(served.address) != 1))


async def _bomb(served: Served) -> list[Finding]:
    """A small body that is 64 MiB once it is decompressed."""
    async with grpc.aio.insecure_channel(served.address, compression=grpc.Compression.Gzip) as opened:
        try:
            await opened.unary_unary(wire.ANSWER.path)(bytes(BOMB), timeout=20)
            code = "OK"
        except grpc.aio.AioRpcError as failure:
            code = failure.code().name
    packed = len(zlib.compress(bytes(BOMB)))
    return [
        misses(
            f"a body of {packed >> 10} KiB that becomes 64 MiB: not RESOURCE_EXHAUSTED", code != "RESOURCE_EXHAUSTED"
        )
    ]


def _example(found: list[str]) -> str:
    return f" ({found[0]})" if found else ""


TARGETS = (Target("R10", "Fuzzing", fuzz),)
