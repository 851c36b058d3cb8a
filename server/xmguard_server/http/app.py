"""The routes of the public HTTP port, each a thin shell around `Calls`.

Who may come in, and how large a request may be, is for the door in front of them, which also answers what they raise.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import NoReturn

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from xmguard.errors import ErrorCode, InvalidRequest, Reason, XmguardError
from xmguard.response import Done, Event
from xmguard_server.calls import Call, Calls
from xmguard_server.http.attended import OUTCOME, Outcome
from xmguard_server.http.chat_request import ChatRequest, read_chat_request
from xmguard_server.http.chat_response import END, Completion, model_entry, server_sent
from xmguard_server.http.errors import error_body
from xmguard_server.http_door import PRINCIPAL
from xmguard_server.interceptors import REQUEST_ID_KEY

TIMEOUT_KEY = "x-request-timeout"
"""Header in which a caller says how many seconds it waits, as deadlines do in gRPC."""

logger = logging.getLogger(__name__)


def build(calls: Calls) -> ASGIApp:
    """The application. It has to stand behind `Attended` and an `HttpDoor`."""
    routes = _Routes(calls)
    return Router(
        [
            Route("/v1/chat/completions", routes.chat_completions, methods=["POST"], name="ChatCompletions"),
            Route("/v1/models", routes.models, methods=["GET"], name="Models"),
            Route("/v1/models/{model:path}", routes.model, methods=["GET"], name="Models"),
            Route("/{path:path}", _Nowhere(), name="Unknown"),
        ],
        redirect_slashes=False,
    )


class _Nowhere:
    """Every other path, and every other method of those above. No function: those take GET alone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> NoReturn:
        raise XmguardError(
            "nothing here answers that; there are POST /v1/chat/completions and GET /v1/models",
            code=ErrorCode.NOT_FOUND,
            reason=Reason.REQUEST_INVALID,
        )


class _Routes:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._created = int(time.time())

    async def models(self, request: Request) -> Response:
        entry = model_entry(self._calls.describe(), self._created)
        return JSONResponse({"object": "list", "data": [entry]})

    async def model(self, request: Request) -> Response:
        return JSONResponse(model_entry(self._calls.describe(request.path_params["model"]), self._created))

    async def chat_completions(self, request: Request) -> Response:
        # Browsers send other types to any address without asking; this one they ask about, and get no leave.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise InvalidRequest.field("content-type", "must be application/json")
        call = _call(request)
        chat = read_chat_request(await request.body())
        completion = Completion(call.request_id, self._calls.describe(chat.request.model).model, chat.warnings)
        events = self._calls.stream(chat.request, call)
        if chat.stream:
            return await _streamed(events, completion, chat, request)
        async with aclosing(events):
            done = [event async for event in events if isinstance(event, Done)]
        return JSONResponse(completion.whole(done[0].response))


async def _streamed(
    events: AsyncGenerator[Event, None], completion: Completion, chat: ChatRequest, request: Request
) -> Response:
    """The response of a stream that has begun: until then an error can still be told by its status."""
    try:
        first = await anext(events)
    except BaseException:
        await events.aclose()
        raise
    outcome: Outcome = request.scope[OUTCOME]

    async def lines() -> AsyncIterator[bytes]:
        yield server_sent(completion.chunk(first))
        try:
            async for event in events:
                yield server_sent(completion.chunk(event))
                if isinstance(event, Done) and chat.include_usage:
                    yield server_sent(completion.usage(event.response.usage))
        except Exception as raised:
            outcome.error = _told(raised, request.scope["state"][REQUEST_ID_KEY])
            yield server_sent(error_body(outcome.error))
        else:
            yield END

    return _EventStream(events, lines())


class _EventStream(Response):
    """Server-sent events. Closes what they are made from, however it ends."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[Event, None], lines: AsyncIterator[bytes]) -> None:
        self._events = events
        self._lines = lines
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for line in self._lines:
                await send({"type": "http.response.body", "body": line, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _call(request: Request) -> Call:
    state, wanted = request.scope["state"], request.headers.get(TIMEOUT_KEY)
    try:
        timeout = None if wanted is None else float(wanted)
    except ValueError:
        timeout = -1.0
    if timeout is not None and not 0 < timeout < float("inf"):
        raise InvalidRequest.field(TIMEOUT_KEY, "must be a number of seconds above 0")
    return Call(state[REQUEST_ID_KEY], timeout, state[PRINCIPAL].name)


def _told(raised: Exception, name: str) -> XmguardError:
    """What is told of an exception once a stream has begun, as the door tells it before."""
    if isinstance(raised, XmguardError):
        return raised
    logger.error("request %s failed", name, exc_info=raised)
    return XmguardError(f"internal error; the server's log has it under request {name}")
