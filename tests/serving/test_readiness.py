"""Whoever asks whether the server is ready is told the same, by whatever probe."""

from __future__ import annotations

import asyncio
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from grpc_health.v1 import health, health_pb2

from tests import scripted
from tests.scripted import REQUEST, ScriptedGuard, Serving, blocked, eventually, scrape, serving
from tests.serving.test_inference_protocol import ask
from xmguard.client import Client
from xmguard.wire import SERVICE
from xmguard_server import app
from xmguard_server.inference import inference_pb2 as pb


def told(served: Serving) -> set[bool]:
    """What each probe says."""
    try:
        with urllib.request.urlopen(f"{served.admin_url}/readyz", timeout=5) as page:
            over_http = page.status == 200
    except urllib.error.HTTPError as error:
        with error:
            over_http = error.code != 503
    return {
        over_http,
        *(scripted.health(served.address, name) == health_pb2.HealthCheckResponse.SERVING for name in ("", SERVICE)),
        pb.ServerReadyResponse.FromString(ask(served.address, "ServerReady")).ready,
        pb.ModelReadyResponse.FromString(ask(served.address, "ModelReady")).ready,
    }


def test_it_is_ready_with_the_first_of_several_workers_and_runs_what_that_one_takes() -> None:
    first, second, release = threading.Event(), threading.Event(), threading.Event()
    guard, turns = ScriptedGuard(blocked(release)), iter((first, second))

    def load() -> ScriptedGuard:
        assert next(turns).wait(20)
        return guard

    with serving(load=load, workers=2) as served, Client(served.address) as client, ThreadPoolExecutor(2) as pool:
        assert told(served) == {False}
        first.set()
        eventually(lambda: told(served) == {True})
        assert "xmguard_workers_ready 1.0" in scrape(served.metrics_url)
        asked = [pool.submit(client.answer, REQUEST) for _ in range(2)]
        eventually(lambda: "xmguard_requests_waiting 1.0" in scrape(served.metrics_url))
        assert "xmguard_requests_running 1.0" in scrape(served.metrics_url)
        second.set()
        eventually(lambda: "xmguard_requests_running 2.0" in scrape(served.metrics_url))
        assert told(served) == {True}
        release.set()
        assert all(answer.result(20).answer for answer in asked)


def test_a_watcher_who_reads_nothing_holds_up_no_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def stuck(self: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health.aio.HealthServicer, "enter_graceful_shutdown", stuck)
    monkeypatch.setattr(app, "_HEALTH_SECONDS", 0.01)
    with serving() as served:
        assert told(served) == {True}
    assert "health could not be set to NOT_SERVING within 0.01 s" in caplog.text


def test_it_is_not_ready_from_the_moment_in_which_it_stops() -> None:
    release = threading.Event()
    with serving(blocked(release)) as served, Client(served.address) as client, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.answer, REQUEST)
        eventually(lambda: "xmguard_requests_running 1.0" in scrape(served.metrics_url))
        assert told(served) == {True}
        served.begin_stop()
        eventually(lambda: told(served) == {False})
        assert "xmguard_workers_ready 1.0" in scrape(served.metrics_url)
        release.set()
        assert asked.result(20).answer
