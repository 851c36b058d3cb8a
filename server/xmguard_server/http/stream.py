"""A guard's events as the body of an HTTP response, one piece each, whatever form a piece has.

Has to stand behind `http.attended.Attended`. Knows no route, and no form of events or errors.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from xmguard.errors import InvalidRequest, XmguardError
from xmguard.response import Event
from xmguard_server.http.attended import OUTCOME, Outcome
from xmguard_server.interceptors import REQUEST_ID_KEY

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    """How the events of one response are written."""

    media_type: str
    event: Callable[[Event], bytes]
    error: Callable[[XmguardError], bytes]
    """What ends a stream that had begun."""
    end: bytes = b""
    """What ends one that went well."""


def refuse_other_than_json(request: Request) -> None:
    """Raise InvalidRequest unless the body says that it is JSON.

    Browsers send other types to any address without asking; this one they ask about, and get no leave.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidRequest.field("content-type", "must be application/json")


async def streamed(events: AsyncGenerator[Event, None], form: Form, request: Request) -> Response:
    """The response of a stream that has begun: until then an error can still be told by its status.

    Raises:
        XmguardError: what refuses the request, or ends it before its first event.
    """
    try:
        first = await anext(events)
    except BaseException:
        await events.aclose()
        raise
    outcome: Outcome = request.scope[OUTCOME]

    async def pieces() -> AsyncIterator[bytes]:
        yield form.event(first)
        try:
            async for event in events:
                yield form.event(event)
        except Exception as raised:
            outcome.error = _told(raised, request.scope["state"][REQUEST_ID_KEY])
            yield form.error(outcome.error)
        else:
            yield form.end

    return _EventStream(events, pieces(), form.media_type)


class _EventStream(Response):
    """Closes what it is made from, however it ends."""

    def __init__(self, events: AsyncGenerator[Event, None], pieces: AsyncIterator[bytes], media_type: str) -> None:
        self._events = events
        self._pieces = pieces
        self.status_code = 200
        self.background = None
        self.body = b""
        self.media_type = media_type
        # A proxy that gathers what comes would make one piece of all.
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _told(raised: Exception, name: str) -> XmguardError:
    """What is told of an exception once a stream has begun, as the door tells it before."""
    if isinstance(raised, XmguardError):
        return raised
    logger.error("request %s failed", name, exc_info=raised)
    return XmguardError(f"internal error; the server's log has it under request {name}")
