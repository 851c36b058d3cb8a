"""A port that speaks HTTP/1.1: uvicorn inside the server's own event loop, with bounds on what a connection may hold.

Knows nothing of what is served: it is given an ASGI application.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from xmguard_server.ports import listen

CERTIFICATE = "certificate"
"""Key of a request's state: the client's certificate as `ssl.SSLSocket.getpeercert` tells it; None without."""

_CONNECTIONS = 256
"""Beyond, a request is told 503. Connections that do nothing are closed soon, so they keep nobody out for long."""
_HEADER_BYTES = 32 * 1024
_HEADER_SECONDS = 10.0
_IDLE_SECONDS = 15
_END_SECONDS = 2
"""Requests that take longer when the server stops are cancelled."""


class HttpPort:
    """One listening address. `start` and `stop` in the server's event loop."""

    def __init__(self, app: ASGIApp, host: str, port: int, option: str, tls: ssl.SSLContext | None = None) -> None:
        """`option` is the flag that gave the port, for messages."""
        self.port = port
        self._where = host, port, option
        config = uvicorn.Config(
            app,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_END_SECONDS,
            h11_max_incomplete_event_size=_HEADER_BYTES,
        )
        config.load()
        config.ssl = tls
        self._server = uvicorn.Server(config)
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            SetupIncomplete: the address cannot be had.
        """
        listening = listen(*self._where)
        self.port = listening.getsockname()[1]
        # `serve` would take the signals that end the whole process; these are the steps it is made of.
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[listening])
        self._loop = asyncio.create_task(self._server.main_loop())

    async def stop(self) -> None:
        """End what is in progress, and close; nothing if it was not started."""
        if self._loop is not None:
            self._loop.cancel()
            await self._server.shutdown()


class _Connection(H11Protocol):
    """Tells requests who the client's certificate names, and closes connections that do not get to a whole header."""

    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls: Any = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, CERTIFICATE: None if tls is None else tls.getpeercert()}
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._relax()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._relax()  # from here on it is idle, which has a limit of its own

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._relax()
        elif self._impatience is None:
            self._impatience = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

    def _relax(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
