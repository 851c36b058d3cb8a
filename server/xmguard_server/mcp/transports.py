"""How the tools are reached: over stdin and stdout, or over stateless streamable HTTP on loopback.

Over HTTP nothing is told to anybody whom the guard itself would not let in: each request's token is put to the guard
first. There is no TLS here and no other address than loopback; what is to be reached from elsewhere stands behind a
proxy.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from xmguard.errors import ErrorCode, XmguardError
from xmguard.response import Limits
from xmguard_server.http_port import HttpPort
from xmguard_server.mcp.tools import Connect, bearer, error_data

HOST = "127.0.0.1"
PATH = "/mcp"

_STATUS = {ErrorCode.UNAUTHENTICATED: 401, ErrorCode.PERMISSION_DENIED: 403}
"""What the guard refuses a caller with; any other error of it is told as 503."""


async def over_stdio(server: Server) -> None:
    """Serve one client until it closes stdin."""
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


async def over_http(server: Server[Any], connect: Connect, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called with the URL once the port is open; 0 takes any free one.

    Raises:
        SetupIncomplete: the port cannot be had.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    tools = server.streamable_http_app(
        streamable_http_path=PATH,
        host=HOST,
        stateless_http=True,
        json_response=True,
        max_request_body_size=Limits().max_message_bytes,
    )
    listening = HttpPort(Admission(tools, connect), HOST, port, "--http-port")
    await listening.start()
    async with tools.router.lifespan_context(tools):
        try:
            ready(f"http://{HOST}:{listening.port}{PATH}")
            await stopping.wait()
        finally:
            await listening.stop()


class Admission:
    """ASGI middleware: asks the guard whether it lets a request's caller in, before anything else is done."""

    def __init__(self, app: ASGIApp, connect: Connect) -> None:
        self._app = app
        self._connect = connect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with what the guard said; also if it could not be asked."""
        try:
            async with self._connect(bearer(Headers(scope=scope))) as client:
                await client.model()
        except XmguardError as error:
            status = _STATUS.get(error.code, 503)
            headers = {"www-authenticate": "Bearer"} if status == 401 else None
            await JSONResponse(error_data(error), status, headers)(scope, receive, send)
        else:
            await self._app(scope, receive, send)
