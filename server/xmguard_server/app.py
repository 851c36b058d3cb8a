"""Composes the server and runs its life: listen, start the workers, serve, drain, stop.

Listens before the model is loaded, with health NOT_SERVING, so that an orchestrator can tell "starting" from "gone".
Loads no model: that is for the workers, and how they are started is given to it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from xmguard.errors import XmguardError
from xmguard.response import ModelInfo
from xmguard.wire import SERVICE
from xmguard_server.access_log import AccessObserver
from xmguard_server.admin import LIVE, READY, admin_app
from xmguard_server.admission import Admission, shutting_down
from xmguard_server.auth import Authenticator, Scope, Tokens
from xmguard_server.calls import Calls
from xmguard_server.config import ServerConfig
from xmguard_server.grpc_auth import Authentication
from xmguard_server.http.attended import Attended
from xmguard_server.http.body import Bounds
from xmguard_server.http.door import HttpDoor
from xmguard_server.http.port import HttpPort
from xmguard_server.http.reading import Reader
from xmguard_server.inference_protocol import INFERENCE_SERVICE, InferenceServicer
from xmguard_server.interceptors import Observability
from xmguard_server.metrics import Metrics
from xmguard_server.openai.app import build
from xmguard_server.openai.errors import error_response
from xmguard_server.page.asking import Asking
from xmguard_server.page.recent import Recent
from xmguard_server.page.routes import page_routes
from xmguard_server.ports import HANDSHAKE_SECONDS, address, cannot_listen, is_loopback, listen, refuse_open
from xmguard_server.servicer import GuardServicer
from xmguard_server.tls import Tls
from xmguard_server.trace_context import Tracer, Untraced
from xmguard_server.workers.launching import Launch
from xmguard_server.workers.pool import Pool

_WATCHERS_GRACE = 0.5
"""Seconds for what is left once every request is answered: health watchers, which never end by themselves."""
_HEALTH_SECONDS = 1.0
"""For telling health: grpc's servicer waits for every watcher to be written to."""
_CLOSING_SECONDS = 3.0
"""For closing the gRPC port once its calls have ended."""
_HTTP_SLACK = 30.0
"""Seconds that a request over HTTP may take beyond the longest deadline of a call."""

logger = logging.getLogger(__name__)

# While grpc frees a server that never started it logs a debug line with that server in it. Whoever keeps the record, as
# a buffering handler or pytest does, holds freed memory, and the process dies of it later and elsewhere.
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.INFO)


class Server:
    """The front's parts. `start`, then `load`, then at the end `stop`, all in one event loop.

    Serves from the first worker that is ready on, while the others still load.
    """

    def __init__(
        self,
        config: ServerConfig,
        metrics: Metrics,
        launch: Launch,
        *,
        tracer: Tracer | None = None,
        progress: Callable[[str], None] | None = None,
        ready: Callable[[ModelInfo, Server], None] | None = None,
    ) -> None:
        """Compose; nothing is started.

        Args:
            config: the settings.
            metrics: the numbers, and an observer of what the workers answer.
            launch: starts a worker.
            tracer: traces calls, and is closed at the end.
            progress: told each step of loading, in words.
            ready: told what is served whenever requests are answered from then on.
        """
        self.port = 0
        self.admin_port = 0
        self.http_port = 0
        self._config = config
        self._metrics = metrics
        self._tracer = tracer or Untraced()
        self._ready = ready or (lambda info, server: None)
        self._recent = Recent()
        self._admission = Admission(config, metrics.browned_out)
        self._pool = Pool(
            launch,
            workers=config.workers,
            step_timeout=config.step_timeout,
            max_restarts=config.max_restarts,
            observers=(metrics, AccessObserver(), self._tracer, self._recent),
            progress=progress,
            lost=metrics.worker_lost,
            resized=self._admission.set_slots,
        )
        metrics.watch(running=lambda: self._admission.running, waiting=lambda: self._admission.waiting)
        metrics.watch_queue(cost=lambda: self._admission.waiting_cost, pressure=lambda: self._admission.pressure)
        metrics.watch_workers(lambda: self._pool.ready_workers)
        metrics.watch_observers(lambda: self._pool.observer_failures)
        metrics.watch_cache(lambda: self._pool.cache_usage)
        self._calls = Calls(self._pool, self._admission, config, metrics)
        # One for each port, so that nobody's large requests keep an operator's waiting.
        self._readers = Reader(), Reader()
        self._asking = Attended(Asking(self._calls, self._readers[0]), metrics, self._tracer)
        self._observability = Observability(metrics, self._tracer)
        self._health = health.aio.HealthServicer()
        self._tls = Tls(config.tls) if config.tls is not None else None
        if self._tls is not None:
            metrics.watch_certificate(self._tls.seconds_left)
        self._authenticator = Authenticator(
            None if config.tokens is None else Tokens(config.tokens),
            certificates=self._tls is not None and self._tls.asks,
        )
        door = Authentication(self._authenticator, metrics.rejected, closed_health=config.closed_health)
        self._grpc: Any = grpc.aio.server(interceptors=(door, self._observability), options=_options(config))
        handlers = GuardServicer(self._calls, metrics, send_timeout=config.send_timeout).handlers()
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        probes = InferenceServicer(self._calls, metrics).handlers()
        self._grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(INFERENCE_SERVICE, probes),))
        listed = (SERVICE, INFERENCE_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(listed, self._grpc)
        self._admin = self._admin_port()
        self._attended = Attended(build(self._calls, self._readers[1]), metrics, self._tracer)
        self._http = None if config.http_port is None else self._public_port(config.http_port)
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen on every port; health says NOT_SERVING, and requests are told to come back.

        Raises:
            SetupIncomplete: a port cannot be listened on, or others could reach it and nobody is asked who they are.
        """
        config = self._config
        if not self._authenticator.asks and not config.insecure_open_bind:
            refuse_open(config.host, "--host")
            refuse_open(config.admin_host, "--admin-host")
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        listen(config.host, config.port, "--port").close()  # grpc would say why only in C++ lines of its own on stderr
        where = address(config.host, config.port)
        try:
            if self._tls is None:
                self.port = self._grpc.add_insecure_port(where)
            else:
                self.port = self._grpc.add_secure_port(where, self._tls.grpc_credentials())
        except RuntimeError as error:
            raise cannot_listen(config.host, config.port, "--port", error) from error
        await self._admin.start()
        self.admin_port = self._admin.port
        if self._http is not None:
            await self._http.start()
            self.http_port = self._http.port
        await self._grpc.start()
        self._pool.start()
        self._following = asyncio.create_task(self._follow_workers())
        self._warn()

    async def load(self) -> None:
        """Wait until every worker has loaded the model.

        Raises:
            XmguardError: one cannot.
        """
        await self._pool.ready()

    async def failed(self) -> XmguardError:
        """Wait until a worker is given up."""
        return await self._pool.failed()

    async def stop(self, at_once: asyncio.Event | None = None) -> None:
        """Say NOT_SERVING, refuse what is new, let what is in flight finish within the grace, and close everything.

        What is still in flight after the grace, or when `at_once` is set, ends with UNAVAILABLE, SHUTTING_DOWN.
        """
        self._admission.drain()
        await _within(_HEALTH_SECONDS, self._health.enter_graceful_shutdown(), "health could not be set to NOT_SERVING")
        idle = asyncio.create_task(self._idle())
        hurry = asyncio.create_task((at_once or asyncio.Event()).wait())
        await asyncio.wait((idle, hurry), timeout=self._config.grace, return_when=asyncio.FIRST_COMPLETED)
        if not idle.done():
            logger.warning("requests are cut off that were still running after SIGTERM and the time they had")
        for waiting in (idle, hurry):
            waiting.cancel()
        if self._following is not None:
            self._following.cancel()
        self._admission.close()
        await self._pool.stop(shutting_down)
        await _within(_CLOSING_SECONDS, self._grpc.stop(_WATCHERS_GRACE), "a gRPC connection did not close")
        ports = [self._admin] if self._http is None else [self._admin, self._http]
        await asyncio.gather(*(port.stop() for port in ports))
        for reader in self._readers:
            await reader.close()  # after the ports: a question would start its process anew
        await asyncio.to_thread(self._tracer.close)

    def _admin_port(self) -> HttpPort:
        config = self._config
        pages = admin_app(
            self._metrics.registry,
            ready=lambda: self._calls.ready,
            engine_metrics=self._pool.engine_page,
            routes=page_routes(self._calls, self._recent, self._asking) if config.ui else (),
        )
        door = HttpDoor(
            pages,
            port="admin",
            authenticator=self._authenticator,
            scope=Scope.ADMIN,
            bounds=Bounds(body_bytes=config.max_message_bytes, seconds=config.max_deadline + _HTTP_SLACK),
            rejected=self._metrics.rejected,
            open_paths=() if config.closed_health else (LIVE, READY),
            any_host=config.insecure_open_bind,
            passwords=True,
        )
        tls = None if self._tls is None else self._tls.http_context(certificate_optional=True)
        return HttpPort(door, config.admin_host, config.admin_port, "--admin-port", tls)

    def _public_port(self, port: int) -> HttpPort:
        config = self._config
        door = HttpDoor(
            self._attended,
            port="http",
            authenticator=self._authenticator,
            scope=Scope.GUARD,
            bounds=Bounds(body_bytes=config.max_message_bytes, seconds=config.max_deadline + _HTTP_SLACK),
            rejected=self._metrics.rejected,
            any_host=config.insecure_open_bind,
            shape=error_response,
            level=logging.INFO,
        )
        tls = None if self._tls is None else self._tls.http_context(certificate_optional=False)
        return HttpPort(door, config.host, port, "--http-port", tls)

    def _warn(self) -> None:
        config = self._config
        for host in (config.host, config.admin_host):
            if is_loopback(host):
                continue
            if not self._authenticator.asks:
                logger.warning("listening on %s without authentication: whoever reaches it can use the model", host)
            elif self._tls is None:
                logger.warning("listening on %s without TLS: tokens and texts travel in clear", host)

    async def _idle(self) -> None:
        """Wait until no call is in flight, over gRPC or HTTP."""
        await self._observability.idle()
        await self._attended.idle()
        await self._asking.idle()

    async def _follow_workers(self) -> None:
        """Tell health whether a worker is ready."""
        serving = False
        async with aclosing(self._pool.changes()) as changes:
            async for _ in changes:
                if serving != self._calls.ready:
                    serving = self._calls.ready
                    status = health_pb2.HealthCheckResponse
                    await self._set_health(status.SERVING if serving else status.NOT_SERVING)
                    if serving:
                        self._ready(self._pool.info, self)

    async def _set_health(self, status: Any) -> None:
        for service in ("", SERVICE):
            await _within(_HEALTH_SECONDS, self._health.set(service, status), "health could not be set")


async def _within(seconds: float, step: Awaitable[None], otherwise: str) -> None:
    """Await a step of grpc's, which a peer who reads nothing can hold up, but no longer than that."""
    try:
        async with asyncio.timeout(seconds):
            await step
    except TimeoutError:
        logger.warning("%s within %g s; is there a peer who reads nothing?", otherwise, seconds)


async def run(
    config: ServerConfig,
    metrics: Metrics,
    launch: Launch,
    *,
    tracer: Tracer | None = None,
    progress: Callable[[str], None] | None = None,
    ready: Callable[[ModelInfo, Server], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight; a second signal ends that at once.

    Takes what `Server` takes.

    Raises:
        XmguardError: a port is taken, the model cannot be loaded, or a worker was lost too often.
    """
    stopping, at_once = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        if stopping.is_set():
            at_once.set()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    server = Server(config, metrics, launch, tracer=tracer, progress=progress, ready=ready)
    try:
        await server.start()
        asked = asyncio.create_task(stopping.wait())
        if await _first(loading := asyncio.create_task(server.load()), asked):
            loading.result()
            if await _first(failing := asyncio.create_task(server.failed()), asked):
                raise failing.result()
        logger.info("stopping: refusing new requests, finishing those in flight")
    finally:
        await server.stop(at_once)


async def _first(task: asyncio.Task[Any], other: asyncio.Task[Any]) -> bool:
    """Whether a task is done before another; if not, it is cancelled."""
    await asyncio.wait((task, other), return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        return False
    return True


def _options(config: ServerConfig) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share its requests
        ("grpc.server_handshake_timeout_ms", round(1000 * HANDSHAKE_SECONDS)),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # The default, five minutes, ends the connections of clients that ping to keep a NAT entry alive.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        # Connections are renewed now and then, so that a balancer that works by connection spreads them again.
        ("grpc.max_connection_age_ms", 30 * 60_000),
        ("grpc.max_connection_age_grace_ms", 5 * 60_000),
    )
