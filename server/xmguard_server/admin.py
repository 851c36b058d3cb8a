"""The admin port: metrics, liveness, readiness, and the pages that other modules add; all of it behind the door.

    /metrics          the server's own metrics, as text or as OpenMetrics
    /engine/metrics   those of an engine that has its own
    /healthz          200 while the process runs
    /readyz           200 while requests are answered, else 503

Knows nothing of gRPC, nor of what the added pages do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

from xmguard.errors import ErrorCode, Reason, XmguardError

LIVE = "/healthz"
READY = "/readyz"
METRICS = "/metrics"
ENGINE_METRICS = "/engine/metrics"


def admin_app(
    registry: CollectorRegistry,
    *,
    ready: Callable[[], bool],
    engine_metrics: Callable[[], Awaitable[bytes | None]],
    routes: Sequence[BaseRoute] = (),
) -> Router:
    """The pages, without the door before them, which also says what they raise.

    Args:
        registry: The server's metrics.
        ready: Whether requests are answered; called in the event loop.
        engine_metrics: The engine's own page as Prometheus reads it; None where it has none.
        routes: More pages.
    """

    async def live(request: Request) -> Response:
        return PlainTextResponse("live\n")

    async def readiness(request: Request) -> Response:
        return PlainTextResponse("ready\n") if ready() else PlainTextResponse("not ready\n", 503)

    # Not `async`, so that it runs on a thread: writing hundreds of series takes longer than a health check may wait.
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    async def engine(request: Request) -> Response:
        page = await engine_metrics()
        if page is None:
            raise XmguardError(
                f"the engine that runs here has no metrics of its own; those of the server are at {METRICS}",
                code=ErrorCode.NOT_FOUND,
                reason=Reason.REQUEST_INVALID,
            )
        return Response(page, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    pages = [
        Route(LIVE, live),
        Route(READY, readiness),
        Route(METRICS, metrics),
        Route(ENGINE_METRICS, engine),
    ]
    return Router([*pages, *routes], redirect_slashes=False, default=_nowhere)


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    raise XmguardError("there is no such page here", code=ErrorCode.NOT_FOUND, reason=Reason.REQUEST_INVALID)
