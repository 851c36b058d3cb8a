"""What one HTTP request may take, and its body as it arrives: no larger and no slower than that.

Knows neither who sends it nor what it says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from xmguard.errors import DeadlineExceeded, ErrorCode, InvalidRequest, Reason, XmguardError


@dataclass(frozen=True)
class Bounds:
    """What one request may take."""

    body_bytes: int
    body_seconds: float = 30.0
    """Until the whole body has arrived."""
    seconds: float = 330.0
    """Until the whole answer is taken; the longest deadline of a call fits in."""


class Body:
    """What a request sends, and how much of it has come."""

    def __init__(self, receive: Receive, bounds: Bounds, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """`headers` are the request's, as ASGI has them. The time begins now."""
        self._receive = receive
        self._bounds = bounds
        self._headers = list(headers)
        self._bytes = 0
        self._more = True
        self._end = time.monotonic() + bounds.body_seconds

    def refuse_announced(self) -> None:
        """Refuse a body by what the headers say of it, before any of it is read.

        Raises:
            XmguardError: it is too large; reason REQUEST_TOO_LARGE.
            InvalidRequest: it is compressed, or its length is told in two ways.
        """
        lengths = self._every(b"content-length")
        if lengths and self._every(b"transfer-encoding"):
            # RFC 9112, 6.3: a proxy in front that believes the other one sees another request after this one.
            raise InvalidRequest.field("content-length", "must not stand beside transfer-encoding; send one of the two")
        if any(coding.strip().lower() != b"identity" for coding in self._every(b"content-encoding")):
            raise InvalidRequest.field("content-encoding", "bodies are taken as they are; send it uncompressed")
        self._refuse_beyond(max((int(length) for length in lengths if length.isdigit()), default=0))

    async def receive(self) -> Message:
        """The next message of the request, as ASGI has it.

        Raises:
            XmguardError: the body is larger (REQUEST_TOO_LARGE) or slower (DEADLINE_EXCEEDED) than it may be.
        """
        if not self._more:
            return await self._receive()  # waits for the caller to leave
        try:
            async with asyncio.timeout(self._end - time.monotonic()):
                message = await self._receive()
        except TimeoutError as error:
            raise DeadlineExceeded(f"the request did not arrive within {self._bounds.body_seconds:g} s") from error
        self._more = message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        self._refuse_beyond(self._bytes)
        return message

    def _every(self, name: bytes) -> list[bytes]:
        return [value for key, value in self._headers if key == name]

    def _refuse_beyond(self, found: int) -> None:
        if found > self._bounds.body_bytes:
            raise XmguardError(
                f"the request is larger than {self._bounds.body_bytes} bytes",
                code=ErrorCode.RESOURCE_EXHAUSTED,
                reason=Reason.REQUEST_TOO_LARGE,
            )


async def whole(receive: Receive) -> bytes:
    """A whole body: from then on, whatever arrives says that the caller has left.

    Raises:
        ClientDisconnect: he left before.
    """
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
