"""Every code and every reason, from the real server to the real client and over real HTTP; and the table of them."""

from __future__ import annotations

import ast
import asyncio
import http.client
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from tests.scripted import REQUEST, ordinary, raising, serving
from xmguard import errors as raised_errors
from xmguard import wire
from xmguard.client import Client, Retries
from xmguard.deadline import Stop
from xmguard.errors import ErrorCode, FieldViolation, InvalidRequest, Reason, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import Event
from xmguard_server.auth import Authenticator, Scope
from xmguard_server.errors import CODES, REASONS
from xmguard_server.http.body import Bounds
from xmguard_server.http.door import HttpDoor
from xmguard_server.http.port import HttpPort

ROOT = Path(__file__).parents[2]
PAIRS = [(reason, code) for reason, row in REASONS.items() for code in row.codes]
MESSAGE = "what, which, what to do"
RETRY_SECONDS = 0.6
"""Longer than gRPC itself waits before it repeats a call for the first time."""


def error(reason: Reason, code: ErrorCode) -> XmguardError:
    return XmguardError(MESSAGE, code=code, reason=reason, retry_after=1.5 if REASONS[reason].retry else None)


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_table_has_every_code_and_every_reason() -> None:
    assert {code: statuses.grpc.name for code, statuses in CODES.items()} == {code: code.value for code in ErrorCode}
    assert set(REASONS) == set(Reason)
    assert {code for _, code in PAIRS} == set(ErrorCode)


def test_the_documents_table_is_this_one() -> None:
    text = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \| ([^|]+) \| (yes|no) \|", text, flags=re.MULTILINE)
    shown = {reason: (codes.strip(), http_codes.strip(), retry) for reason, codes, http_codes, retry in rows}
    assert len(rows) == len(shown)
    assert shown == {
        reason.value: (
            ", ".join(code.value for code in row.codes),
            ", ".join(str(row.http or CODES[code].http) for code in row.codes),
            "yes" if row.retry else "no",
        )
        for reason, row in REASONS.items()
    }


def raised() -> Iterator[tuple[str, ErrorCode, Reason, bool]]:
    """Where an error is made whose code and reason stand in the source, and whether it says when to come back."""
    kinds = {name: kind for name, kind in vars(raised_errors).items() if isinstance(kind, type)}
    for path in [*ROOT.glob("xmguard/**/*.py"), *ROOT.glob("server/xmguard_server/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.value if isinstance(node.func, ast.Attribute) and node.func.attr == "field" else node.func
            kind = kinds.get(name.id) if isinstance(name, ast.Name) else None
            if kind is None or not issubclass(kind, XmguardError):
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            found = [
                default if value is None else of[value.attr]
                for of, value, default in (
                    (ErrorCode, given.get("code"), kind.code),
                    (Reason, given.get("reason"), kind.reason),
                )
                if value is None or ast.unparse(value).startswith(f"{of.__name__}.")  # else it is known later only
            ]
            if len(found) == 2:
                yield f"{path.name}:{node.lineno}", *found, "retry_after" in given


def test_what_is_raised_is_in_the_table() -> None:
    found = list(raised())
    assert len(found) > 60
    assert [where for where, code, reason, _ in found if code not in REASONS[reason].codes] == []
    assert [where for where, _, reason, retry in found if retry and not REASONS[reason].retry] == []


# -- over gRPC ---------------------------------------------------------------------------------------------------------


def test_every_reason_reaches_the_client_as_it_was_raised() -> None:
    with serving() as served, Client(served.address, retries=Retries(attempts=1)) as client:
        for reason, code in PAIRS:
            served.guard.script = raising(error(reason, code))
            for call in (client.answer, client.check, lambda request: list(client.stream(request))):
                with pytest.raises(XmguardError) as caught:
                    call(REQUEST)
                got = caught.value
                assert (str(got), got.code, got.reason) == (MESSAGE, code, reason)
                assert got.retry_after == (1.5 if REASONS[reason].retry else None)


def test_grpc_itself_is_told_when_to_repeat_a_call_or_never_to() -> None:
    with serving() as served, grpc.insecure_channel(served.address) as channel:
        answer = channel.unary_unary(wire.ANSWER.path)
        for reason, code in PAIRS:
            served.guard.script = raising(error(reason, code))
            with pytest.raises(grpc.RpcError) as caught:
                answer(wire.ANSWER.pack_request(REQUEST), timeout=30)
            row = REASONS[reason]
            told = dict(caught.value.trailing_metadata()).get("grpc-retry-pushback-ms")
            assert told == ("-1" if row.suspect else "1500" if row.retry else None), reason


def test_a_client_comes_back_to_a_server_that_loads_its_model_after_the_time_it_names() -> None:
    calls: list[float] = []

    def loading_once(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise XmguardError(
                MESSAGE, code=ErrorCode.UNAVAILABLE, reason=Reason.MODEL_LOADING, retry_after=RETRY_SECONDS
            )
        yield from ordinary(request, stop)

    with serving() as served, Client(served.address) as client:
        served.guard.script = loading_once
        assert client.answer(REQUEST).answer
    assert len(calls) == 2
    assert calls[1] - calls[0] >= RETRY_SECONDS


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def at_port(app: ASGIApp, **bounds: float) -> AsyncIterator[int]:
    rejected: list[Reason] = []
    limits = Bounds(**{"body_bytes": 100, **bounds})
    door = HttpDoor(
        app, port="x", authenticator=Authenticator(), scope=Scope.ADMIN, bounds=limits, rejected=rejected.append
    )
    port = HttpPort(door, "127.0.0.1", 0, "--port")
    await port.start()
    try:
        yield port.port
    finally:
        await port.stop()


def fetch(port: int, path: str, body: bytes = b"", chunked: bool = False) -> tuple[int, Mapping[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", path, iter([body]) if chunked else body, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


async def test_every_reason_has_its_http_status_and_details() -> None:
    async def fail(request: Request) -> Response:
        reason, code = PAIRS[int(request.path_params["number"])]
        raise error(reason, code)

    async with at_port(Router([Route("/{number}", fail, methods=["POST"])])) as port:
        for number, (reason, code) in enumerate(PAIRS):
            status, headers, text = await asyncio.to_thread(fetch, port, f"/{number}")
            row, told = REASONS[reason], json.loads(text)["error"]
            assert status == told["code"] == (row.http or CODES[code].http)
            assert (told["status"], told["message"]) == (code.value, MESSAGE)
            assert told["details"][0]["reason"] == reason.value
            assert headers.get("retry-after") == ("2" if row.retry else None)
            assert ("www-authenticate" in headers) == (code is ErrorCode.UNAUTHENTICATED)
            assert ("RetryInfo" in text) == row.retry


async def test_violations_keep_their_fields_over_http() -> None:
    async def fail(request: Request) -> Response:
        raise InvalidRequest([FieldViolation("spans[2].text", "is empty")])

    async with at_port(Router([Route("/", fail, methods=["POST"])])) as port:
        _, _, text = await asyncio.to_thread(fetch, port, "/")
    assert json.loads(text)["error"]["details"][1]["fieldViolations"] == [
        {"field": "spans[2].text", "description": "is empty"}
    ]


async def test_a_bug_is_internal_over_http_too(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request) -> Response:
        raise KeyError("secret")

    async def missing(request: Request) -> Response:
        raise HTTPException(404)

    async with at_port(Router([Route("/", fail, methods=["POST"]), Route("/file", missing, methods=["POST"])])) as port:
        status, headers, text = await asyncio.to_thread(fetch, port, "/")
        assert (await asyncio.to_thread(fetch, port, "/file"))[0] == 404
    assert status == 500
    assert "secret" not in text
    assert headers["x-request-id"] in text
    assert any(record.exc_info and headers["x-request-id"] in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(chunked: bool) -> None:
    async def read(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async with at_port(Router([Route("/", read, methods=["POST"])])) as port:
        assert (await asyncio.to_thread(fetch, port, "/", b"x" * 100, chunked))[::2] == (200, "100")
        status, headers, text = await asyncio.to_thread(fetch, port, "/", b"x" * 101, chunked)
    assert (status, headers["connection"]) == (413, "close")
    assert "REQUEST_TOO_LARGE" in text


async def test_a_request_ends_when_its_time_is_up() -> None:
    async def sleep(request: Request) -> Response:
        await asyncio.sleep(20)
        return PlainTextResponse("")

    async with at_port(Router([Route("/", sleep, methods=["POST"])]), seconds=0.1) as port:
        status, _, text = await asyncio.to_thread(fetch, port, "/")
    assert status == 504
    assert "longer than 0.1 s" in text


async def test_a_body_that_does_not_come_ends_the_request() -> None:
    async def read(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    def trickle(port: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.putrequest("POST", "/")
            connection.putheader("content-length", "10")
            connection.endheaders(b"x")
            return connection.getresponse().status
        finally:
            connection.close()

    async with at_port(Router([Route("/", read, methods=["POST"])]), body_seconds=0.1) as port:
        assert await asyncio.to_thread(trickle, port) == 504
