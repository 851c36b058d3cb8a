"""Runs an application on a request for as long as its caller is there and reads what it is sent.

Knows nothing of who the caller is, nor of what runs.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xmguard_server.http.body import whole

SEND_SECONDS = 30.0
"""For a caller to take more of its response before it is given up."""


async def unless_gone(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run an application on a request, whose body is taken in first.

    Raises:
        ClientDisconnect: the caller left, or does not read what it is sent; the application was cancelled.
    """
    body: bytes | None = await whole(receive)
    gone = asyncio.create_task(_until_gone(receive))
    finished = False

    async def replay() -> Message:
        nonlocal body
        if body is not None:
            message: Message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message
        await asyncio.shield(gone)
        return {"type": "http.disconnect"}

    async def patiently(message: Message) -> None:
        nonlocal finished
        finished = message["type"] == "http.response.body" and not message.get("more_body")
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)
        except TimeoutError as error:
            raise ClientDisconnect from error

    running = asyncio.ensure_future(app(scope, replay, patiently))
    try:
        await asyncio.wait((gone, running), return_when=asyncio.FIRST_COMPLETED)
        if not running.done() and not finished:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            raise ClientDisconnect
        await running
    finally:
        for task in (gone, running):
            task.cancel()
        await asyncio.gather(gone, running, return_exceptions=True)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
