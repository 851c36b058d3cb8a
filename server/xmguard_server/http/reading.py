"""Reads bodies of JSON without holding up the event loop.

Reading JSON holds Python's lock from beginning to end, so a thread would be no help: 30 MiB of small values take
minutes, in which no probe is answered. What is small is read at once; the rest goes to a process of its own
(`python -m xmguard_server.http.reading`), which is ended when it takes too long. Knows nothing of routes.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import struct
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, TypeVar

from xmguard.errors import InvalidRequest, Reason, XmguardError
from xmguard_server.workers.link import error_fields, error_of

V = TypeVar("V")

_SMALL_BYTES = 128 << 10
_SMALL_VALUES = 2_000
"""Bodies with fewer bytes and fewer values than these take some milliseconds."""
_SECONDS = 10.0
_LENGTH = struct.Struct("!Q")


class Reader:
    """Turns bodies into values, large ones one after the other."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        """`seconds`: how long reading one body may take, before it is refused."""
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._process: Process | None = None

    async def read(self, reading: Callable[[bytes], V], body: bytes) -> V:
        """What `reading` makes of a body; it has to be a function of a module, so that another process finds it.

        Raises:
            InvalidRequest: as `reading`; or it takes too long, reason REQUEST_MALFORMED.
        """
        if len(body) <= _SMALL_BYTES and sum(map(body.count, (b",", b"[", b"{"))) <= _SMALL_VALUES:
            return reading(body)
        answer = b""
        async with self._turn:
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await self._ask(pickle.dumps(reading), body)
            except TimeoutError as error:
                raise InvalidRequest.field(
                    "request",
                    f"reading its JSON takes longer than {self._seconds:g} s; send fewer values",
                    reason=Reason.REQUEST_MALFORMED,
                ) from error
            finally:
                if not answer:  # it still reads what nobody waits for
                    await self._end()
        value: V
        value, failure = pickle.loads(answer)
        if failure is not None:
            raise error_of(failure)
        return value

    async def close(self) -> None:
        """End the process, if there is one; what it reads fails."""
        await self._end()

    async def _ask(self, *parts: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            path = os.pathsep.join(place for place in sys.path if place)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", __name__),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,  # Ctrl-C is for the front, which lets requests finish
                env={**os.environ, "PYTHONPATH": path},
            )
        there, back = self._process.stdin, self._process.stdout
        assert there is not None
        assert back is not None
        for part in parts:
            there.write(_LENGTH.pack(len(part)))
            there.write(part)
        try:
            (length,) = _LENGTH.unpack(await back.readexactly(_LENGTH.size))
            return await back.readexactly(length)
        except asyncio.IncompleteReadError as error:  # it may have run out of memory
            raise XmguardError("the process that reads large requests ended; see the system's log") from error

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Read one body after the other, until there are no more."""
    while (reading := _part(asked)) is not None:
        try:
            answer = pickle.dumps((pickle.loads(reading)(_part(asked)), None))
        except XmguardError as error:
            answer = pickle.dumps((None, error_fields(error)))
        answers.write(_LENGTH.pack(len(answer)) + answer)
        answers.flush()


def _part(asked: BinaryIO) -> bytes | None:
    head = asked.read(_LENGTH.size)
    return asked.read(*_LENGTH.unpack(head)) if head else None


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
