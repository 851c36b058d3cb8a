"""The admin port of the real server, over real HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from prometheus_client import REGISTRY, Gauge

from tests.scripted import Serving, serving
from xmguard_server.http import port as http_port


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving() as server:
        yield server


def ask(served: Serving, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(urlsplit(served.admin_url).netloc, timeout=5)
    try:
        connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def reason(body: str) -> str:
    return json.loads(body)["error"]["details"][0]["reason"]


def test_metrics_come_as_text_and_as_openmetrics(served: Serving) -> None:
    status, headers, page = ask(served, "/metrics")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    assert "xmguard_requests_running 0.0" in page.splitlines()
    assert not page.endswith("# EOF\n")
    status, headers, page = ask(served, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert (status, headers["content-type"].split(";")[0]) == (200, "application/openmetrics-text")
    assert page.endswith("# EOF\n")


def test_live_and_ready(served: Serving) -> None:
    assert ask(served, "/healthz")[::2] == (200, "live\n")
    assert ask(served, "/readyz")[::2] == (200, "ready\n")


def test_not_ready_while_loading() -> None:
    release = threading.Event()
    with serving(load=lambda: release.wait(20) and served.guard) as served:
        assert ask(served, "/readyz")[0] == 503
        assert ask(served, "/healthz")[0] == 200
        release.set()
        assert served.loaded.wait(20)
        assert ask(served, "/readyz")[0] == 200


def test_an_engine_without_metrics_of_its_own_says_so(served: Serving) -> None:
    status, _, body = ask(served, "/engine/metrics")
    assert status == 404
    assert "those of the server are at /metrics" in body


def test_metrics_of_an_engine_have_a_page_of_their_own(served: Serving) -> None:
    counted = Gauge("engine:requests_running", "As vLLM names its metrics, on the registry that it uses.")
    try:
        status, _, page = ask(served, "/engine/metrics")
        assert status == 200
        assert 'engine:requests_running{worker="0"} 0.0' in page.splitlines()
        assert "xmguard_" not in page
        assert "engine:" not in ask(served, "/metrics")[2]
    finally:
        REGISTRY.unregister(counted)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/metrics/", "/healthz/x", "//metrics", "/%2e%2e/metrics"])
def test_no_such_page(served: Serving, path: str) -> None:
    status, headers, body = ask(served, path)
    assert status == 404
    assert headers["x-request-id"]
    assert json.loads(body)["error"]["status"] == "NOT_FOUND"


def test_a_page_takes_its_own_methods_only(served: Serving) -> None:
    assert ask(served, "/metrics", "POST")[0] == 405


def test_the_callers_request_id_comes_back(served: Serving) -> None:
    assert ask(served, "/healthz", x_request_id="mine-1")[1]["x-request-id"] == "mine-1"
    assert len(ask(served, "/healthz", x_request_id="bad id")[1]["x-request-id"]) == 32


def test_pages_of_other_origins_and_other_names_of_this_machine_are_refused(served: Serving) -> None:
    port = urlsplit(served.admin_url).port
    assert ask(served, "/metrics", host=f"localhost:{port}", origin=f"http://localhost:{port}")[0] == 200
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": f"evil.example:{port}"},
        {"host": f"evil.example:{port}", "origin": f"http://evil.example:{port}"},
        {"host": f"127.0.0.1.example:{port}"},
        {"host": "["},
        {"host": f"127.0.0.1:{port}", "origin": "http://["},
    ):
        # Whatever a name leads to: that is up to whoever owns it.
        with patch.object(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", port))]):
            status, _, body = ask(served, "/metrics", **headers)
        assert (status, reason(body)) == (403, "PERMISSION_DENIED"), headers


def test_a_request_that_is_too_large_is_refused_before_it_is_read() -> None:
    with serving(max_message_bytes=1000) as served:
        status, _, body = ask(served, "/metrics", "POST", content_length="1001")
        assert (status, reason(body)) == (413, "REQUEST_TOO_LARGE")


def closes(served: Serving, sent: bytes, within: float) -> bool:
    where = urlsplit(served.admin_url)
    with socket.create_connection((where.hostname, where.port), timeout=within) as connection:
        connection.sendall(sent)
        try:
            return connection.recv(1) == b""
        except TimeoutError:
            return False


def test_a_connection_that_does_not_get_to_a_whole_header_is_closed(served: Serving) -> None:
    with patch.object(http_port, "_HEADER_SECONDS", 0.2):
        assert closes(served, b"", 2)
        assert closes(served, b"GET /metrics HTTP/1.1\r\nHost: x", 2)
