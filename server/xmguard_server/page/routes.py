"""The live page's addresses below `/ui/`: its files, what is served, the last requests, and the question itself.

Everybody whom the admin port lets in may see the page and the chart; what asks the guard needs the guard's scope too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from xmguard import wire
from xmguard_server import auth
from xmguard_server.calls import Calls
from xmguard_server.http.attended import Attended
from xmguard_server.http.door import PRINCIPAL
from xmguard_server.page.recent import Recent

PAGE = "/ui/"

_TYPES: Mapping[str, str] = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
_FIRST = "page.html"

_HEADERS: Mapping[str, str] = {
    # Nothing from elsewhere, nothing inline, and no text can become markup or script, whatever the page's code does.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def page_routes(calls: Calls, recent: Recent, asking: Attended) -> list[BaseRoute]:
    """The routes, for the admin port's door to stand before; `asking` holds an `Asking`."""

    async def model(request: Request) -> Response:
        principal: auth.Principal = request.scope["state"][PRINCIPAL]
        principal.need(auth.Scope.GUARD)
        text = wire.to_json(calls.describe(), indent=None)
        return Response(text, headers=_HEADERS, media_type="application/json")

    async def last(request: Request) -> Response:
        return JSONResponse({"requests": recent.requests()}, headers=_HEADERS)

    async def to_the_page(request: Request) -> Response:
        return RedirectResponse("ui/")  # relative, so that it holds behind a proxy with a path of its own too

    return [
        Route("/ui", to_the_page),
        *_file_routes(),
        Route(f"{PAGE}model", model),
        Route(f"{PAGE}recent", last),
        # The same call of the guard as over gRPC, so metrics count it under its name.
        Route(f"{PAGE}ask", asking, methods=["POST"], name=wire.STREAM_ANSWER.name),
    ]


def _file_routes() -> list[Route]:
    """One for each file that belongs to the page, and so for no other."""
    routes = []
    for file in sorted(files(__package__).iterdir(), key=lambda file: file.name):
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            path = PAGE if file.name == _FIRST else f"{PAGE}{file.name}"
            routes.append(Route(path, _sending(file.read_bytes(), kind)))
    return routes


def _sending(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def send(request: Request) -> Response:
        return Response(content, headers=_HEADERS, media_type=kind)

    return send
