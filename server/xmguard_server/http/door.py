"""The one way into an HTTP port: whoever is not let in reaches no route, not even to learn whether there is one.

Stands before an ASGI application and bounds each request: who sends it, from which page, how large, how long. Knows
nothing of routes, beyond which paths are open to everybody.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Request

from xmguard.errors import DeadlineExceeded, ErrorCode, Reason, XmguardError
from xmguard_server import access_log
from xmguard_server.auth import Authenticator, Principal, Scope
from xmguard_server.http.body import Body, Bounds
from xmguard_server.http.errors import error_response
from xmguard_server.http.port import CERTIFICATE
from xmguard_server.interceptors import REQUEST_ID_KEY, request_id
from xmguard_server.ports import names_loopback
from xmguard_server.tls import subject

PRINCIPAL = "principal"
"""Key of a request's state: the `Principal` who sent it. Its id is under `REQUEST_ID_KEY`."""

logger = logging.getLogger(__name__)


class HttpDoor:
    """ASGI middleware, the outermost."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        port: str,
        authenticator: Authenticator,
        scope: Scope,
        bounds: Bounds,
        rejected: Callable[[Reason], None],
        open_paths: Collection[str] = (),
        any_host: bool = False,
        passwords: bool = False,
        shape: Callable[[XmguardError], Response] = error_response,
        level: int = logging.DEBUG,
    ) -> None:
        """`port` names the port in the log.

        `open_paths` ask nobody who they are. `any_host`: whether a name in `Host` that is not this machine's is taken
        where nobody is asked who they are. `passwords`: whether a token may come as a password (Basic), for browsers.
        `shape` writes an error as this port's callers expect it. `level` is that of the log's line for a request that
        went well: scrapes and probes come every few seconds and would drown everything else.
        """
        self._app = app
        self._port = port
        self._authenticator = authenticator
        self._scope = scope
        self._bounds = bounds
        self._rejected = rejected
        self._open_paths = frozenset(open_paths)
        self._any_host = any_host or authenticator.asks
        self._passwords = passwords
        self._shape = shape
        self._level = level

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it with an error."""
        headers = _Headers(request["headers"])
        name = request_id(headers.every(REQUEST_ID_KEY))
        state = request.setdefault("state", {})
        state[REQUEST_ID_KEY] = name
        line = access_log.begin()
        answering = _Answer(send, name)
        started = time.perf_counter()
        body = Body(receive, self._bounds, request["headers"])
        limit = asyncio.timeout(self._bounds.seconds)
        try:
            state[PRINCIPAL] = self._admit(request, headers)
            body.refuse_announced()
            async with limit:
                await self._app(request, body.receive, answering.send)
        except ClientDisconnect:
            self._refuse(Reason.CANCELLED)
        except Exception as error:
            stated = self._stated(error, name, late=limit.expired())
            self._refuse(stated.reason)
            if answering.status:  # too late to say it otherwise than by closing the connection
                raise stated from error
            response = self._shape(stated)
            if stated.code is ErrorCode.UNAUTHENTICATED and self._passwords and self._authenticator.wants_token:
                response.headers.append("www-authenticate", 'Basic realm="xmguard", charset="UTF-8"')  # a browser asks
            response.headers["connection"] = "close"  # what is left of the body is not worth reading
            await response(request, receive, answering.send)
        finally:
            self._log(line, request, answering.status, time.perf_counter() - started)

    def _admit(self, request: Request, headers: _Headers) -> Principal | None:
        self._refuse_foreign_pages(headers)
        if request["path"] in self._open_paths:
            return None
        authorization = headers.every("authorization")
        if self._passwords:
            authorization = [_from_password(value) for value in authorization]
        return self._authenticator.admit(authorization, self._scope, subject(request["state"].get(CERTIFICATE)))

    def _refuse_foreign_pages(self, headers: _Headers) -> None:
        # A page on the web can make a browser send requests here, with the browser's own password for this port or
        # under a name of its own that leads to this machine; it cannot hide which page it is.
        try:
            (host,) = headers.every("host")
            name = urlsplit(f"//{host}").hostname or ""
            origins = [urlsplit(origin).netloc for origin in headers.every("origin")]
        except ValueError as error:
            raise _foreign("a request needs one Host header, and Origin must be a URL where there is one") from error
        if not self._any_host and not names_loopback(name):
            raise _foreign("this port is open to this machine only; ask for it as localhost")
        if any(origin != host for origin in origins):
            raise _foreign("requests from pages of other origins are refused")

    def _stated(self, error: Exception, name: str, *, late: bool) -> XmguardError:
        if isinstance(error, XmguardError):
            return error
        if late:
            return DeadlineExceeded(f"the request took longer than {self._bounds.seconds:g} s")
        if isinstance(error, HTTPException) and error.status_code < 500:  # the router's, or of files that it serves
            code = ErrorCode.NOT_FOUND if error.status_code == 404 else ErrorCode.INVALID_ARGUMENT
            return XmguardError(f"{error.detail}; nothing here answers that", code=code, reason=Reason.REQUEST_INVALID)
        logger.error("request %s failed", name, exc_info=error)
        return XmguardError(f"internal error; the server's log has it under request {name}")

    def _refuse(self, reason: Reason) -> None:
        self._rejected(reason)
        access_log.note(reason=reason.value)

    def _log(self, line: dict[str, object], request: Request, status: int, seconds: float) -> None:
        state = request["state"]
        principal = state.get(PRINCIPAL)
        client = request.get("client") or ("", 0)
        line |= {
            "port": self._port,
            "status": status,
            "seconds": round(seconds, 6),
            "request_id": state[REQUEST_ID_KEY],
            "peer": f"{client[0]}:{client[1]}",
            "caller": principal.name if principal else "",
        }
        access_log.write("http", line, level=self._level if status < 400 else logging.INFO)


class _Headers:
    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in raw]

    def every(self, name: str) -> Sequence[str]:
        return [value for key, value in self._raw if key == name]


class _Answer:
    """What is sent back: its status, once it has begun."""

    def __init__(self, send: Send, name: str) -> None:
        self.status = 0
        self._send = send
        self._name = name

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID_KEY.encode(), self._name.encode())]
        await self._send(message)


def _from_password(value: str) -> str:
    """A Basic header as the Bearer one that it stands for, the user's name left out; any other as it is."""
    scheme, _, encoded = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return value
    try:
        token = base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""  # malformed
    return f"Bearer {token}"


def _foreign(message: str) -> XmguardError:
    return XmguardError(message, code=ErrorCode.PERMISSION_DENIED, reason=Reason.PERMISSION_DENIED)
