"""The routes of the live page on the real server, around a scripted guard."""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.scripted import REQUEST, Serving, blocked, eventually, ordinary, probed_during, raising, serving
from tests.serving.auth_matrix import Keys, basic
from xmguard import wire
from xmguard.client import Client
from xmguard.deadline import Stop
from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard.request import AnswerRequest, Rebalance
from xmguard.response import Event, Started
from xmguard.span import Media, Span
from xmguard_server.page.recent import KEPT

BODY = wire.to_json(REQUEST).encode()


def ask(served: Serving, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], str]:
    """GET a page, or POST a body as JSON."""
    connection = http.client.HTTPConnection(urlsplit(served.admin_url).netloc, timeout=10)
    sent = {"content-type": "application/json"} if body is not None else {}
    sent |= {key.replace("_", "-"): value for key, value in headers.items()}
    try:
        connection.request("GET" if body is None else "POST", path, body, sent)
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving(ui=True) as server:
        yield server


def test_there_is_no_page_without_the_flag() -> None:
    with serving() as server:
        assert {ask(server, path)[0] for path in ("/ui", "/ui/", "/ui/page.js", "/ui/recent")} == {404}
        assert ask(server, "/ui/ask", BODY)[0] == 404


def test_the_pages_files_come_with_headers_that_let_nothing_else_in(served: Serving) -> None:
    assert ask(served, "/ui")[1]["location"] == "ui/"
    page = ask(served, "/ui/")[2]
    for path, kind in (("/ui/", "text/html"), ("/ui/page.css", "text/css"), ("/ui/page.js", "text/javascript")):
        status, headers, _ = ask(served, path)
        assert (status, headers["content-type"].split(";")[0]) == (200, kind)
        policy = headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in page
    assert "style=" not in page
    for path in ("/ui/routes.py", "/ui/../admin.py", "/ui/%2e%2e/config.py", "/ui/__init__.py"):
        assert ask(served, path)[0] == 404


def test_the_events_are_the_contracts_own(served: Serving) -> None:
    status, headers, body = ask(served, "/ui/ask", BODY, x_request_id="mine-1")
    lines = [json.loads(line) for line in body.splitlines()]
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    assert [line.get("sequence", "0") for line in lines] == [str(number) for number in range(len(lines))]
    assert [next(iter(line.keys() - {"sequence"})) for line in lines] == ["started", "verdict", *["delta"] * 3, "done"]
    with Client(served.address) as client:
        answer = client.answer(REQUEST)
    assert lines[-1]["done"]["response"] == json.loads(wire.to_json(answer))
    asked, _, request_id, _ = served.guard.calls[-2]
    assert asked == served.guard.calls[-1][0] == REQUEST
    assert request_id == headers["x-request-id"] == "mine-1"
    assert 'xmguard_requests_total{code="OK",method="StreamAnswer"} 1.0' in ask(served, "/metrics")[2]


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"{", {}, 400, "REQUEST_MALFORMED"),
        (b'{"questoin": ""}', {}, 400, "no such field"),
        (BODY, {"content_type": "text/plain"}, 400, "application/json"),
        (BODY, {"origin": "https://evil.example"}, 403, "other origins"),
        (BODY, {"origin": "null"}, 403, "other origins"),
    ],
)
def test_what_is_refused_reaches_no_guard(
    served: Serving, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    before = len(served.guard.calls)
    answer = ask(served, "/ui/ask", body, **headers)
    assert answer[0] == status
    assert said in answer[2]
    assert len(served.guard.calls) == before


def test_a_question_that_takes_seconds_to_read_delays_nobody_else(served: Serving) -> None:
    values = b'{"spans":[' + b"[]," * 700_000 + b"[]]}"
    (status, _, told), probes = probed_during(served.address, lambda: ask(served, "/ui/ask", values))
    assert status == 400
    assert "spans[0]: must be an object" in told
    assert len(probes) > 10
    assert max(probes) < 0.5


def test_a_large_question_arrives_whole(served: Serving) -> None:
    picture = Span(id="s2", media=Media("image/png", bytes(range(256)) * 4_000))
    request = replace(REQUEST, spans=(REQUEST.spans[0], picture), rebalance=Rebalance("fixed", bias={"s1": -math.inf}))
    assert ask(served, "/ui/ask", wire.to_json(request).encode())[0] == 200
    assert served.guard.calls[-1][0] == request


def test_an_error_has_a_status_before_the_first_event_and_a_line_after_it(served: Serving) -> None:
    full = XmguardError("full", code=ErrorCode.RESOURCE_EXHAUSTED, reason=Reason.QUEUE_FULL, retry_after=2.0)

    def late(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
        yield Started("")
        raise ValueError("secret words of the prompt")

    served.guard.script = raising(full)
    try:
        status, headers, body = ask(served, "/ui/ask", BODY)
        assert (status, headers["retry-after"]) == (429, "2")
        served.guard.script = late
        status, headers, body = ask(served, "/ui/ask", BODY)
    finally:
        served.guard.script = ordinary
    error = json.loads(body.splitlines()[-1])["error"]
    assert (status, error["status"], error["details"][0]["reason"]) == (200, "INTERNAL", "INTERNAL")
    assert headers["x-request-id"] in error["message"]
    assert "secret" not in body
    page = ask(served, "/metrics")[2]
    assert 'xmguard_rejected_total{reason="QUEUE_FULL"} 1.0' in page
    assert 'xmguard_rejected_total{reason="INTERNAL"} 1.0' in page


def test_who_leaves_frees_the_model() -> None:
    never = threading.Event()
    with serving(blocked(never), ui=True) as served:
        connection = http.client.HTTPConnection(urlsplit(served.admin_url).netloc, timeout=5)
        connection.request("POST", "/ui/ask", BODY, {"content-type": "application/json"})
        answer = connection.getresponse()
        assert b"started" in answer.readline()
        answer.close()
        connection.close()
        eventually(lambda: served.guard.closed == 1)
        counted = 'xmguard_requests_total{code="CANCELLED",method="StreamAnswer"} 1.0'
        eventually(lambda: counted in ask(served, "/metrics")[2])


def test_a_stopping_server_finishes_what_the_page_asked() -> None:
    release = threading.Event()
    with serving(blocked(release), ui=True) as served:
        connection = http.client.HTTPConnection(urlsplit(served.admin_url).netloc, timeout=10)
        connection.request("POST", "/ui/ask", BODY, {"content-type": "application/json"})
        answer = connection.getresponse()
        assert b"started" in answer.readline()
        served.begin_stop()
        eventually(lambda: ask(served, "/readyz")[0] == 503)
        time.sleep(0.2)  # for a stop that does not wait to cut it off
        release.set()
        assert b"done" in answer.read().splitlines()[-1]
        connection.close()


def test_the_last_requests_are_numbers_only_and_of_every_interface(served: Serving) -> None:
    with Client(served.address) as client:
        client.check(REQUEST)
        for _ in range(KEPT):
            client.answer(REQUEST)
    requests = json.loads(ask(served, "/ui/recent")[2])["requests"]
    assert len(requests) == KEPT
    assert requests[-1] == {
        "endedAt": requests[-1]["endedAt"],
        "spans": 2,
        "probability": 0.9,
        "logRatioBefore": 2.0,
        "logRatioAfter": 0.5,
        "logRatioPerTokenBefore": 1.0,
        "logRatioPerTokenAfter": None,
    }
    assert all(value is None or isinstance(value, int | float) for one in requests for value in one.values())


def test_asking_takes_both_scopes_and_the_page_the_admin_ports(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    paths: dict[str, bytes | None] = {"/ui/": None, "/ui/recent": None, "/ui/model": None, "/ui/ask": BODY}
    with serving(ui=True, tokens=keys.file) as closed:

        def statuses(**headers: str) -> list[int]:
            return [ask(closed, path, body, **headers)[0] for path, body in paths.items()]

        assert statuses() == [401, 401, 401, 401]
        assert statuses(authorization=basic(keys.token("guard"))) == [403, 403, 403, 403]
        assert statuses(authorization=basic(keys.token("admin"))) == [200, 200, 403, 403]
        assert statuses(authorization=basic(keys.token("both"))) == [200, 200, 200, 200]
        assert 'Basic realm="xmguard"' in ask(closed, "/ui/")[1]["www-authenticate"]  # without it no browser asks
        assert len(closed.guard.calls) == 1
