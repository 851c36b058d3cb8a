"""A port that speaks HTTP/1.1: uvicorn inside the server's own event loop, with bounds on what a connection may hold.

Knows nothing of what is served: it is given an ASGI application.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from xmguard_server.ports import HANDSHAKE_SECONDS, listen

CERTIFICATE = "certificate"
"""Key of a request's state: the client's certificate as `ssl.SSLSocket.getpeercert` tells it; None without."""

_CONNECTIONS = 256
"""Beyond, the one that has been without a request for longest is closed; where all have one, a request is told 503."""
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
            limit_concurrency=_CONNECTIONS + 1,  # it refuses from that many on
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_END_SECONDS,
            h11_max_incomplete_event_size=_HEADER_BYTES,
        )
        config.load()
        self._tls = tls
        self._server = uvicorn.Server(config)
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            SetupIncomplete: the address cannot be had.
        """
        listening = listen(*self._where)
        self.port = listening.getsockname()[1]
        # `serve` would take the signals that end the whole process; these are the steps it is made of. It is not told
        # of the socket, because it has no setting for the time that a handshake may take: asyncio's own is a minute.
        config = self._server.config
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[])
        patience = None if self._tls is None else HANDSHAKE_SECONDS
        accepting = await asyncio.get_running_loop().create_server(
            self._connection,
            sock=listening,
            backlog=config.backlog,
            ssl=self._tls,
            ssl_handshake_timeout=patience,
            ssl_shutdown_timeout=patience,
        )
        self._server.servers.append(accepting)
        self._loop = asyncio.create_task(self._server.main_loop())

    def _connection(self) -> _Connection:
        server = self._server
        return _Connection(server.config, server.server_state, server.lifespan.state)

    async def stop(self) -> None:
        """End what is in progress, and close; nothing if it was not started."""
        if self._loop is not None:
            self._loop.cancel()
            await self._server.shutdown()


class _Connection(H11Protocol):
    """Tells requests who the client's certificate names, and closes connections that do not get to a whole header."""

    idle_since: float = 0.0
    """When it was made, or answered its last request, by the loop's clock."""
    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls: Any = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, CERTIFICATE: None if tls is None else tls.getpeercert()}
        self.idle_since = self.loop.time()
        self._watch()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._relax()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.idle_since = self.loop.time()
        self._relax()  # from here on it is idle, which has a limit of its own

    def send_400_response(self, msg: str) -> None:
        """Say that what came is no HTTP, or close where an answer has begun: uvicorn would fail with a traceback."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _make_room(self) -> None:
        """Close the one that has been idle for longest: whoever opens many and says nothing keeps nobody out."""
        beyond = len(self.connections) - _CONNECTIONS
        if beyond <= 0:
            return
        idle = (one for one in self.connections if isinstance(one, _Connection) and not one.busy and one is not self)
        for oldest in sorted(idle, key=lambda one: one.idle_since)[:beyond]:
            self.connections.discard(oldest)
            oldest.transport.abort()

    def _watch(self) -> None:
        if self.busy:
            self._relax()
        elif self._impatience is None:
            self._impatience = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

    def _relax(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
