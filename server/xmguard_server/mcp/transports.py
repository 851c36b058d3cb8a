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
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xmguard.errors import DeadlineExceeded, ErrorCode, Reason, XmguardError
from xmguard.response import Limits
from xmguard_server.http.body import Body, Bounds
from xmguard_server.http.port import HttpPort
from xmguard_server.http.presence import unless_gone
from xmguard_server.mcp.tools import Connect, bearer, error_data

HOST = "127.0.0.1"
PATH = "/mcp"

BOUNDS = Bounds(Limits().max_message_bytes)

_STATUS = {
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.DEADLINE_EXCEEDED: 504,
}
"""What a caller is refused with, or takes too long for; any other error of the guard is told as 503."""


async def over_stdio(server: Server) -> None:
    """Serve one client until it closes stdin, or until SIGINT ends the process at once."""
    # The thread that reads stdin cannot be interrupted: Python's own way would wait for one more line from the client.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
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
        max_request_body_size=BOUNDS.body_bytes,
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
    """ASGI middleware: asks the guard whether it lets a request's caller in, before anything else is done.

    Then takes the whole request in, and ends what takes too long or has nobody waiting for it any more.
    """

    def __init__(self, app: ASGIApp, connect: Connect, bounds: Bounds = BOUNDS) -> None:
        self._app = app
        self._connect = connect
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with what the guard said; also if it could not be asked."""
        body, begun = Body(receive, self._bounds, scope["headers"]), False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(self._bounds.seconds):
                async with self._connect(bearer(Headers(scope=scope))) as client:
                    await client.model()
                if (scope["method"], scope["path"]) == ("GET", PATH):
                    # It would open a stream for what a server says unasked, which needs a session, and never end.
                    return await _no_stream()(scope, receive, send)
                body.refuse_announced()
                await unless_gone(self._app, scope, body.receive, watched)
        except ClientDisconnect:
            pass
        except (XmguardError, TimeoutError) as error:
            if begun:  # too late to say it otherwise than by closing the connection
                raise
            late = f"the request took longer than {self._bounds.seconds:g} s"
            told = error if isinstance(error, XmguardError) else DeadlineExceeded(late)
            await _refusal(told)(scope, receive, send)


def _no_stream() -> JSONResponse:
    error = XmguardError(
        "nothing is said unasked here; send POST", code=ErrorCode.UNIMPLEMENTED, reason=Reason.REQUEST_INVALID
    )
    return JSONResponse(error_data(error), 405, {"allow": "POST"})


def _refusal(error: XmguardError) -> JSONResponse:
    status = 413 if error.reason is Reason.REQUEST_TOO_LARGE else _STATUS.get(error.code, 503)
    headers = {"connection": "close"}  # what is left of the body is not worth reading
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error_data(error), status, headers)
