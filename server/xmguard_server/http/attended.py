"""Watches over what runs for each request: how it ended, and whether it still runs.

Stands behind the door, which has let the caller in, and answers the errors that pass through here.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from xmguard.errors import Cancelled, ErrorCode, XmguardError
from xmguard_server.access_log import note
from xmguard_server.http.presence import unless_gone
from xmguard_server.interceptors import REQUEST_ID_KEY
from xmguard_server.metrics import Metrics
from xmguard_server.trace_context import Tracer

OUTCOME = "xmguard.outcome"
"""Key in the scope: the request's `Outcome`."""


@dataclass
class Outcome:
    """How a request ended, where its route can no longer say so by raising: a stream has begun."""

    error: XmguardError | None = None


class Attended:
    """ASGI middleware. Also knows how many requests are in flight, for a graceful stop."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def idle(self) -> None:
        """Return once no request is in flight."""
        await self._idle.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a request.

        Raises:
            ClientDisconnect: the caller left, or is as good as gone.
        """
        outcome = Outcome()
        inner = {**scope, OUTCOME: outcome}
        code = ErrorCode.INTERNAL.name
        started = time.perf_counter()
        self._in_flight += 1
        self._idle.clear()
        held = ExitStack()
        span = held.enter_context(self._tracer.call(Headers(raw=scope.get("headers", []))))
        try:
            await unless_gone(self._app, inner, receive, send)
            code = outcome.error.code.name if outcome.error else "OK"
            if outcome.error:
                self._metrics.rejected(outcome.error.reason)
                note(reason=outcome.error.reason.value)
        except XmguardError as error:
            code = error.code.name
            raise
        except (ClientDisconnect, asyncio.CancelledError):
            code = Cancelled.code.name
            raise
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            if route := inner.get("route"):  # never the path: anybody can invent paths
                self._metrics.request_handled(route.name, code, time.perf_counter() - started)
                note(method=route.name, code=code)
                told = {"http.request.method": scope["method"], "http.route": route.path}
                span.ended(route.name, code, told | {"xmguard.request_id": scope["state"][REQUEST_ID_KEY]})
            held.close()
