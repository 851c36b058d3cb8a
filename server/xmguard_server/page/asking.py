"""A question from the live page: the contract's JSON in, the events of the answer out, one line of JSON each.

A line is a StreamAnswerResponse in canonical proto3 JSON; the last is `done`, or `{"error": ...}` as every HTTP error
here. What is refused before the first event has an HTTP status instead.
"""

from __future__ import annotations

import json
from functools import partial
from itertools import count

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from xmguard import wire
from xmguard.errors import XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import Event
from xmguard_server import auth
from xmguard_server.calls import Call, Calls
from xmguard_server.http.door import PRINCIPAL
from xmguard_server.http.errors import error_body
from xmguard_server.http.reading import Reader
from xmguard_server.http.stream import Form, refuse_other_than_json, streamed
from xmguard_server.interceptors import REQUEST_ID_KEY

MEDIA_TYPE = "application/x-ndjson"


class Asking:
    """The route, an ASGI application, to stand behind `Attended`. Whoever leaves, or stops reading, cancels."""

    def __init__(self, calls: Calls, reader: Reader) -> None:
        self._calls = calls
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one question.

        Raises:
            XmguardError: it is refused, or failed before its first event.
        """
        request = Request(scope, receive)
        principal: auth.Principal = scope["state"][PRINCIPAL]
        principal.need(auth.Scope.GUARD)
        refuse_other_than_json(request)
        question = await self._reader.read(partial(wire.from_json, AnswerRequest), await request.body())
        call = Call(scope["state"][REQUEST_ID_KEY], caller=principal.name)
        response = await streamed(self._calls.stream(question, call), _form(), request)
        await response(scope, receive, send)


def _form() -> Form:
    sequence = count()

    def event(event: Event) -> bytes:
        return wire.event_to_json((next(sequence), event)).encode() + b"\n"

    def error(error: XmguardError) -> bytes:
        return json.dumps(error_body(error)).encode() + b"\n"

    return Form(MEDIA_TYPE, event, error)
