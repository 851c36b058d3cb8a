"""A scripted guard: a stand-in that follows a script instead of running a model, and the real server around it.

Its workers are threads of the test's own process, at the other end of the same link, so that a test can look into the
guard; `tests/serving/stub_guard.py` is for tests of worker processes.

Run as a program it serves the default script until it is stopped, for tests that need a process of their own.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

import grpc
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from xmguard import wire
from xmguard.contracts import GuardEvent, Observer
from xmguard.deadline import Stop
from xmguard.errors import ModelNotFound, XmguardError, quoted
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest, Scope
from xmguard.response import (
    AnswerResponse,
    CheckResponse,
    ConflictVerdict,
    Decision,
    Delta,
    Done,
    Event,
    FinishReason,
    Imbalance,
    ModelInfo,
    Rebalancing,
    SpanReport,
    Started,
    Status,
    Usage,
)
from xmguard.span import Media, Span
from xmguard.steps import Step, StepTime
from xmguard_server.app import Server, run
from xmguard_server.config import ServerConfig
from xmguard_server.metrics import Metrics
from xmguard_server.trace_context import Tracer
from xmguard_server.workers.runtime import serve
from xmguard_server.workers.served import ServedGuard

VERDICT = ConflictVerdict(Decision.CONFLICT, 0.9, Status.OK, "s1 says 25, s2 says 15")
WORDS = ("The ", "sources ", "disagree.")

REQUEST = AnswerRequest(
    spans=(Span(id="s1", text="It rose by 25%."), Span(id="s2", text="Subió un 15 %.", language="es")),
    question="By how much?",
)

T = TypeVar("T")
Script = Callable[[AnswerRequest, Stop], Iterator[Event]]


def ordinary(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
    """What a guard yields when all goes well."""
    spans = tuple(
        SpanReport(
            span.id,
            span.media.media_type.split("/")[0] if isinstance(span.media, Media) else "text",
            span.language or "en",
            tokens=7,
            share_before=0.3,
            share_after=0.4,
        )
        for span in request.spans
    )
    yield Started("", spans)
    yield VERDICT
    for word in WORDS:
        stop.check()
        yield Delta(word)
    yield Done(
        AnswerResponse(
            answer="".join(WORDS),
            raw_answer=request.question,
            verdict=VERDICT,
            spans=spans,
            imbalance=Imbalance(log_ratio_before=2.0, log_ratio_after=0.5, log_ratio_per_token_before=1.0),
            rebalancing=Rebalancing(True, request.rebalance.policy or "fixed", "", Scope.READERS),
            usage=Usage(prompt_tokens=40, completion_tokens=3, seconds=0.1, evidence_tokens=12),
            finish_reason=FinishReason.STOP,
        )
    )


def raising(error: BaseException) -> Script:
    """A guard that refuses, or breaks."""

    def script(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
        raise error
        yield  # makes it a generator, as guards are

    return script


def blocked(until: threading.Event) -> Script:
    """A guard that has said Started and the verdict, and then decodes nothing until the event is set."""

    def script(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
        events = ordinary(request, stop)
        yield next(events)
        yield next(events)
        while not until.wait(0.002):
            stop.check()
        yield from events

    return script


def burning(until: threading.Event) -> Script:
    """The same, computing in Python all the time: the worst neighbour an event loop can have."""

    def script(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
        while not until.is_set():
            stop.check()
            sum(range(20_000))
        yield from ordinary(request, stop)

    return script


@dataclass
class ScriptedBackend:
    """Stands for the model under the guard: fails when it is told to."""

    concurrency: int = 1
    failure: str = ""
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


class ScriptedRequest(NamedTuple):
    """A request that takes nothing to prepare."""

    request: AnswerRequest
    cost: int = 60
    cost_without_evidence: int = 45
    may_skip_evidence: bool = False


@dataclass
class ScriptedGuard:
    """Follows its script for each request and remembers what it was called with."""

    script: Script = ordinary
    observers: Sequence[Observer] = ()
    calls: list[tuple[AnswerRequest, Stop, str, float]] = field(default_factory=list)
    closed: int = 0
    """Streams that are over, however they ended."""
    observer_failures: dict[str, int] = field(default_factory=dict)
    backend: ScriptedBackend = field(default_factory=ScriptedBackend)

    def prepare(self, request: AnswerRequest, *, answers: bool) -> ScriptedRequest:
        return ScriptedRequest(request)

    def stream(
        self, ready: ScriptedRequest, *, stop: Stop, request_id: str, queue_seconds: float, skip_evidence: str
    ) -> Iterator[Event]:
        request = ready.request
        self.calls.append((request, stop, request_id, queue_seconds))
        try:
            for event in self.script(request, stop):
                if isinstance(event, Done):
                    self._tell(GuardEvent("answer", request, event.response, 0.05, (0.01, 0.03), steps()))
                yield event
        finally:
            self.closed += 1

    def check(
        self, ready: ScriptedRequest, *, stop: Stop, request_id: str, queue_seconds: float, skip_evidence: str
    ) -> CheckResponse:
        request = ready.request
        self.calls.append((request, stop, request_id, queue_seconds))
        done = list(self.script(request, stop))[-1]
        assert isinstance(done, Done)
        response = CheckResponse(request_id, done.response.verdict, done.response.spans)
        self._tell(GuardEvent("check", request, response, None))
        return response

    def describe(self, model: str = "") -> ModelInfo:
        if model not in ("", "scripted"):
            raise ModelNotFound(f"model: {quoted(model)} is not served here; served: scripted")
        return ModelInfo(model="scripted", engine="script", calibration="not calibrated: scripted")

    def _tell(self, event: GuardEvent) -> None:
        for observer in self.observers:
            observer.observe(event)


def steps() -> tuple[StepTime, ...]:
    """Every step, a millisecond each, the last one ending now."""
    now = time.time()
    return tuple(StepTime(step, now - (len(Step) - number) / 1000, 0.001) for number, step in enumerate(Step))


class ThreadLaunch:
    """Starts workers as threads of this process, around guards that a test holds in its hands."""

    def __init__(self, load: Callable[[], ScriptedGuard]) -> None:
        self._load = load

    def __call__(self, number: int) -> ThreadWorker:
        return ThreadWorker(self._load)


class ThreadWorker:
    """A worker without a process: what it runs cannot be killed, and is left behind instead."""

    def __init__(self, load: Callable[[], ScriptedGuard]) -> None:
        self._load = load
        self.link, self._far = socket.socketpair()
        self._thread = threading.Thread(target=serve, args=(self._far, self._observed), daemon=True)
        self._thread.start()

    def _observed(self, observers: Sequence[Observer], progress: Callable[[str], None]) -> ServedGuard:
        guard = self._load()
        guard.observers = observers
        return guard

    def ended(self) -> str:
        return "" if self._thread.is_alive() else "ended"

    def kill(self) -> None:
        self.link.close()
        self._thread.join(10)


class Serving:
    """A real server in a thread of this process."""

    def __init__(
        self,
        guard: ScriptedGuard,
        load: Callable[[], ScriptedGuard] | None,
        config: ServerConfig,
        tracer: Tracer | None = None,
    ) -> None:
        self.guard = guard
        self.metrics = Metrics(load_plugins())
        self._config = config
        self._tracer = tracer
        self._launch = ThreadLaunch(load or (lambda: guard))
        self._listening: Future[Server] = Future()
        self.loaded = threading.Event()
        """Every worker is ready, and health says so."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        answering = asyncio.Event()
        server = Server(
            self._config,
            self.metrics,
            self._launch,
            tracer=self._tracer,
            ready=lambda info, server: answering.set(),
        )
        try:
            await server.start()
            self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
            self._listening.set_result(server)
            await server.load()
            await answering.wait()
            self.loaded.set()
            await self._stopping.wait()
        except XmguardError as error:
            self._listening.set_exception(error)
        finally:
            await server.stop()

    def start(self) -> None:
        self._thread.start()
        server = self._listening.result(20)
        self.address = f"127.0.0.1:{server.port}"
        self.admin_url = f"{'http' if self._config.tls is None else 'https'}://127.0.0.1:{server.admin_port}"
        self.metrics_url = f"{self.admin_url}/metrics"
        self.http_url = f"{'http' if self._config.tls is None else 'https'}://127.0.0.1:{server.http_port}"

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def begin_stop(self) -> None:
        """Ask it to stop, and do not wait."""
        self._loop.call_soon_threadsafe(self._stopping.set)


@contextmanager
def serving(
    script: Script = ordinary,
    *,
    load: Callable[[], ScriptedGuard] | None = None,
    tracer: Tracer | None = None,
    **settings: object,
) -> Iterator[Serving]:
    """A real server around a scripted guard, on free ports."""
    config = replace(ServerConfig(port=0, admin_port=0, grace=5.0), **settings)
    served = Serving(ScriptedGuard(script), load, config, tracer)
    served.start()
    try:
        if load is None:
            assert served.loaded.wait(20)
        yield served
    finally:
        served.stop()


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def health(address: str, service: str = "") -> int:
    """Status of a service, as grpc.health.v1 says it."""
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


def scrape(url: str) -> str:
    """A page of metrics."""
    with urllib.request.urlopen(url, timeout=5) as page:
        return page.read().decode()


def call_raw(address: str, method: str, body: bytes, **options: object) -> bytes:
    """Call a unary method with bytes of one's own."""
    with grpc.insecure_channel(address) as channel:
        return channel.unary_unary(f"/{wire.SERVICE}/{method}")(body, timeout=5, **options)


def details(failure: grpc.RpcError) -> status_pb2.Status:
    """The rich status of a failed call."""
    trailers = dict(failure.trailing_metadata())
    return status_pb2.Status.FromString(trailers["grpc-status-details-bin"])


def slowly(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
    """An answer that takes a second."""
    for event in ordinary(request, stop):
        if isinstance(event, Delta):
            time.sleep(0.4)
        yield event


def main() -> None:
    """Serve a slow script and print the port once ready; with the argument `never`, do not become ready."""
    config = ServerConfig(port=0, admin_port=0)

    def load() -> ScriptedGuard:
        if sys.argv[1:] == ["never"]:
            print("loading", flush=True)
            time.sleep(3600)
        return ScriptedGuard(slowly)

    def ready(info: ModelInfo, server: Server) -> None:
        print(server.port, flush=True)

    asyncio.run(run(config, Metrics(load_plugins()), ThreadLaunch(load), ready=ready))


if __name__ == "__main__":
    sys.exit(main())


def probed_during(address: str, work: Callable[[], T]) -> tuple[T, list[float]]:
    """What some work returns, and how many seconds each probe of health took that was made meanwhile, one by one."""
    took = []
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        while not working.done():
            began = time.monotonic()
            health(address)
            took.append(time.monotonic() - began)
    return working.result(), took
