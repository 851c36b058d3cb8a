"""The routes of the public HTTP port, each a thin shell around `Calls`.

Who may come in, and how large a request may be, is for the door in front of them, which also answers what they raise.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import NoReturn

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from xmguard.errors import ErrorCode, InvalidRequest, Reason, XmguardError
from xmguard.response import Done, Event
from xmguard_server.calls import Call, Calls
from xmguard_server.http.door import PRINCIPAL
from xmguard_server.http.reading import Reader
from xmguard_server.http.stream import Form, refuse_other_than_json, streamed
from xmguard_server.interceptors import REQUEST_ID_KEY
from xmguard_server.openai.chat_request import ChatRequest, read_chat_request
from xmguard_server.openai.chat_response import END, Completion, model_entry, server_sent
from xmguard_server.openai.errors import error_body

TIMEOUT_KEY = "x-request-timeout"
"""Header in which a caller says how many seconds it waits, as deadlines do in gRPC."""


def build(calls: Calls, reader: Reader) -> ASGIApp:
    """The application. It has to stand behind `Attended` and an `HttpDoor`."""
    routes = _Routes(calls, reader)
    return Router(
        [
            Route("/v1/chat/completions", routes.chat_completions, methods=["POST"], name="ChatCompletions"),
            Route("/v1/models", routes.models, methods=["GET"], name="Models"),
            Route("/v1/models/{model:path}", routes.model, methods=["GET"], name="Models"),
            Route("/{path:path}", _Nowhere(), name="Unknown"),
        ],
        redirect_slashes=False,
        default=_Nowhere(),  # what is no path at all: CONNECT has none, and requests for proxies have a whole URL
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
    def __init__(self, calls: Calls, reader: Reader) -> None:
        self._calls = calls
        self._reader = reader
        self._created = int(time.time())

    async def models(self, request: Request) -> Response:
        entry = model_entry(self._calls.describe(), self._created)
        return JSONResponse({"object": "list", "data": [entry]})

    async def model(self, request: Request) -> Response:
        return JSONResponse(model_entry(self._calls.describe(request.path_params["model"]), self._created))

    async def chat_completions(self, request: Request) -> Response:
        refuse_other_than_json(request)
        call = _call(request)
        chat = await self._reader.read(read_chat_request, await request.body())
        completion = Completion(call.request_id, self._calls.describe(chat.request.model).model, chat.warnings)
        events = self._calls.stream(chat.request, call)
        if chat.stream:
            return await streamed(events, _chunks(completion, chat), request)
        async with aclosing(events):
            done = [event async for event in events if isinstance(event, Done)]
        return JSONResponse(completion.whole(done[0].response))


def _chunks(completion: Completion, chat: ChatRequest) -> Form:
    def event(event: Event) -> bytes:
        chunk = server_sent(completion.chunk(event))
        if isinstance(event, Done) and chat.include_usage:
            chunk += server_sent(completion.usage(event.response.usage))
        return chunk

    return Form("text/event-stream", event, lambda error: server_sent(error_body(error)), END)


def _call(request: Request) -> Call:
    state, wanted = request.scope["state"], request.headers.get(TIMEOUT_KEY)
    try:
        timeout = None if wanted is None else float(wanted)
    except ValueError:
        timeout = -1.0
    if timeout is not None and not 0 < timeout < float("inf"):
        raise InvalidRequest.field(TIMEOUT_KEY, "must be a number of seconds above 0")
    return Call(state[REQUEST_ID_KEY], timeout, state[PRINCIPAL].name)
