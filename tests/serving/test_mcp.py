"""`xmguard mcp`, asked by the official client and by the official inspector."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tests import other_clients, scripted
from tests.scripted import REQUEST, VERDICT, WORDS, Serving, raising, serving
from tests.unit.command_line import one_error_line, xmguard
from xmguard import wire
from xmguard.client import AsyncClient, Retries
from xmguard.errors import ErrorCode, FieldViolation, InvalidRequest, Reason, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import AnswerResponse, CheckResponse, ModelInfo
from xmguard.span import Media, Span
from xmguard_server.errors import CODES
from xmguard_server.http.body import Bounds
from xmguard_server.http.port import HttpPort
from xmguard_server.http.reading import Reader
from xmguard_server.mcp.tools import build
from xmguard_server.mcp.transports import Admission

INSPECTOR = other_clients.node_command("mcp-inspector")
ARGUMENTS = wire.to_data(REQUEST)


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def ordinary(served: Serving) -> None:
    served.guard.script = scripted.ordinary
    served.guard.calls.clear()


def command(address: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "xmguard", "mcp", "--server", address, *options]


@asynccontextmanager
async def stdio(address: str, *options: str) -> AsyncIterator[Client]:
    """The official client, with the command started by it."""
    program, *arguments = command(address, *options)
    async with Client(StdioServerParameters(command=program, args=arguments, env=dict(os.environ))) as client:
        yield client


def in_process(address: str, token: str = "") -> Client:
    """The official client, with the tools in this process."""
    return Client(build(lambda sent: AsyncClient(address, token=sent, retries=Retries(attempts=1)), token))


@contextmanager
def over_http(address: str) -> Iterator[str]:
    """The URL of the command serving HTTP."""
    process = subprocess.Popen(command(address, "--http-port", "0"), stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        line = process.stderr.readline()
        assert line.startswith("xmguard: MCP on http://127.0.0.1:"), line + process.stderr.read()
        yield line.split()[3].rstrip(",")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 0


@asynccontextmanager
async def with_token(url: str, token: str) -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def test_the_official_client_lists_and_calls_the_tools_over_stdio(served: Serving) -> None:
    photo = {"media": {"mediaType": "image/png", "data": base64.b64encode(b"\x89PNG").decode()}}
    async with stdio(served.address) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"answer", "check_conflict"}
        assert all(tool.annotations.read_only_hint for tool in tools.values())
        answered = await client.call_tool("answer", ARGUMENTS)
        checked = await client.call_tool("check_conflict", {"question": "q?", "spans": [photo]})
    assert served.guard.calls[0][0] == REQUEST
    assert served.guard.calls[1][0] == AnswerRequest(question="q?", spans=(Span(media=Media("image/png", b"\x89PNG")),))
    response = wire.from_data(AnswerResponse, answered.structured_content)
    assert (response.answer, response.verdict) == ("".join(WORDS), VERDICT)
    assert json.loads(answered.content[0].text) == answered.structured_content
    assert wire.from_data(CheckResponse, checked.structured_content).verdict == VERDICT


async def test_errors_are_tool_errors_that_say_what_to_do(served: Serving) -> None:
    async with in_process(served.address) as client:
        served.guard.script = raising(InvalidRequest([FieldViolation("question", "is empty")]))
        refused = await client.call_tool("answer", ARGUMENTS)
        wrong = await client.call_tool("answer", {"questions": "q?", "spans": "s"})
        takes = {tool.name: tool.input_schema["properties"] for tool in (await client.list_tools()).tools}["answer"]
        full = XmguardError("full", code=ErrorCode.FAILED_PRECONDITION, reason=Reason.MODEL_REFUSED, retry_after=3)
        served.guard.script = raising(full)
        later = await client.call_tool("check_conflict", ARGUMENTS)
        with pytest.raises(MCPError, match="answer and check_conflict"):
            await client.call_tool("invented", {})
    async with in_process("127.0.0.1:1") as client:
        nobody = await client.call_tool("answer", ARGUMENTS)
    assert all(told.is_error for told in (refused, wrong, later, nobody))
    assert refused.content[0].text == "REQUEST_INVALID: question: is empty"
    assert [found["field"] for found in wrong.structured_content["error"]["violations"]] == ["questions", "spans"]
    assert f"questions: no such field; known here: {', '.join(takes)};" in wrong.content[0].text
    assert later.content[0].text == "MODEL_REFUSED: full (ask again in 3 s)"
    assert later.structured_content["error"]["retryAfterSeconds"] == 3
    assert nobody.content[0].text.startswith("SERVER_UNREACHABLE: no xmguard server answers at 127.0.0.1:1")


async def test_arguments_are_read_beside_the_event_loop(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = []

    class Watched(Reader):
        async def read(self, reading: Callable[[bytes], Any], body: bytes) -> Any:
            try:
                return await super().read(reading, body)
            finally:
                processes.append(self._process)

    monkeypatch.setattr("xmguard_server.mcp.tools.Reader", Watched)
    large = {**ARGUMENTS, "question": "多少?", "rebalance": {"bias": {f"s{number}": 1.0 for number in range(3_000)}}}
    async with in_process(served.address) as client:
        for arguments in (ARGUMENTS, large):
            assert not (await client.call_tool("answer", arguments)).is_error
    assert [process is not None for process in processes] == [False, True]
    assert processes[1].returncode is not None, "it ended with the server"
    assert [request for request, *_ in served.guard.calls] == [REQUEST, wire.from_data(AnswerRequest, large)]


async def test_a_bug_is_told_without_a_word_of_python() -> None:
    def broken(token: str) -> AsyncClient:
        raise KeyError("secret")

    async with Client(build(broken)) as client:
        told = await client.call_tool("answer", ARGUMENTS)
    assert told.content[0].text == "INTERNAL: internal error; the log of xmguard mcp has it"


# -- who asks ----------------------------------------------------------------------------------------------------------


class Doorman(grpc.GenericRpcHandler):
    """A guard that lets in whoever has the token `good`, and remembers every token and method."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method.rpartition("/")[2]
        sent = dict(details.invocation_metadata).get("authorization", "")
        self.seen.append((method, sent))

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            if sent != "Bearer good":
                error = XmguardError("who?", code=ErrorCode.UNAUTHENTICATED, reason=Reason.UNAUTHENTICATED)
                data = wire.to_status(error).SerializeToString()
                context.set_trailing_metadata((("grpc-status-details-bin", data),))
                context.abort(CODES[error.code].grpc, str(error))
            if method == "GetModel":
                return wire.GET_MODEL.pack_response(ModelInfo(model="m"))
            return wire.CHECK.pack_response(CheckResponse(verdict=VERDICT))

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture(scope="module")
def doorman() -> Iterator[tuple[str, Doorman]]:
    door = Doorman()
    server = grpc.server(ThreadPoolExecutor(2), handlers=(door,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", door
    server.stop(None).wait()


async def test_over_http_every_callers_own_token_is_passed_on(doorman: tuple[str, Doorman]) -> None:
    address, door = doorman
    with over_http(address) as url:
        async with with_token(url, "good") as client:
            assert len((await client.list_tools()).tools) == 2
            told = await client.call_tool("check_conflict", ARGUMENTS)
        assert wire.from_data(CheckResponse, told.structured_content).verdict == VERDICT
        assert ("Check", "Bearer good") in door.seen
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        async with httpx2.AsyncClient() as http:
            for path, headers in (
                (url, {}),
                (url, {"authorization": "Bearer bad"}),
                (url, {"authorization": "Basic good"}),
                (url, {"authorization": "Bearer"}),
                (url, {"authorization": "Bearer go od"}),
                (url, {"authorization": "Bearer göd".encode()}),
                (url.removesuffix("/mcp") + "/", {}),
            ):
                refused = await http.post(path, json=body, headers=headers)
                assert (refused.status_code, refused.json()["error"]["reason"]) == (401, "UNAUTHENTICATED")
                assert refused.headers["www-authenticate"] == "Bearer"
            rebound = await http.post(url, json=body, headers={"host": "evil.example", "authorization": "Bearer good"})
            assert rebound.status_code == 421
    assert {sent for method, sent in door.seen if method != "GetModel"} == {"Bearer good"}


@asynccontextmanager
async def admitting(address: str, app: ASGIApp, **bounds: float) -> AsyncIterator[int]:
    """A port as the command has, with bounds of the test's own."""
    limits = Bounds(**{"body_bytes": 1000, **bounds})
    port = HttpPort(Admission(app, lambda token: AsyncClient(address, token=token), limits), "127.0.0.1", 0, "--port")
    await port.start()
    try:
        yield port.port
    finally:
        await port.stop()


async def exchange(port: int, sent: bytes, method: str = "POST") -> bytes:
    """What a connection is told until it is closed; what is sent may be less than a request."""
    reading, writing = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer good\r\n"
    try:
        writing.write(head.encode() + sent)
        return await asyncio.wait_for(reading.read(), 10)
    finally:
        writing.close()


async def whole_body(scope: Scope, receive: Receive, send: Send) -> None:
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"took {len(body)}", headers={"connection": "close"})(scope, receive, send)


async def test_over_http_a_body_that_does_not_come_or_is_too_large_is_refused(doorman: tuple[str, Doorman]) -> None:
    async with admitting(doorman[0], whole_body, body_seconds=0.2) as port:
        told = await exchange(port, b"content-length: 10\r\n\r\n0123456789")
        assert told.startswith(b"HTTP/1.1 200 ")
        assert told.endswith(b"took 10")
        late = await exchange(port, b"content-length: 10\r\n\r\n012")
        assert late.startswith(b"HTTP/1.1 504 ")
        assert b"did not arrive within 0.2 s" in late
        chunked = b"transfer-encoding: chunked\r\n\r\n3e9\r\n" + b" " * 1001 + b"\r\n"
        for large in (b"content-length: 1001\r\n\r\n", chunked):
            told = await exchange(port, large)
            assert told.startswith(b"HTTP/1.1 413 ")
            assert b"REQUEST_TOO_LARGE" in told
        doubtful = await exchange(port, b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
        assert doubtful.startswith(b"HTTP/1.1 400 ")


async def test_over_http_a_request_ends_when_its_time_is_up(doorman: tuple[str, Doorman]) -> None:
    async def sleeping(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async with admitting(doorman[0], sleeping, seconds=0.5) as port:
        told = await exchange(port, b"content-length: 0\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 504 ")
    assert b"longer than 0.5 s" in told


async def test_over_http_nobody_opens_a_stream_that_never_ends(doorman: tuple[str, Doorman]) -> None:
    with over_http(doorman[0]) as url:
        port = int(url.split(":")[2].split("/")[0])
        told = await exchange(port, b"accept: text/event-stream\r\nconnection: close\r\n\r\n", "GET")
        assert told.startswith(b"HTTP/1.1 405 ")
        assert b"allow: POST" in told
        async with httpx2.AsyncClient() as http:
            assert (await http.get(url)).status_code == 401  # who is not let in learns nothing


def test_over_http_a_call_whose_caller_leaves_ends(served: Serving) -> None:
    never = threading.Event()
    served.guard.script = scripted.blocked(never)
    closed = served.guard.closed
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "answer", "arguments": ARGUMENTS}}
    body = json.dumps(call).encode()
    with over_http(served.address) as url:
        port = int(url.split(":")[2].split("/")[0])
        head = (
            f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept: application/json, text/event-stream\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(head.encode() + body)
            scripted.eventually(lambda: bool(served.guard.calls), 20.0)
        try:
            scripted.eventually(lambda: served.guard.closed > closed, 20.0)
        finally:
            never.set()


def test_over_stdio_an_interrupt_does_not_wait_for_the_client() -> None:
    with subprocess.Popen(command("127.0.0.1:1"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(10) == -signal.SIGINT
        finally:
            process.kill()


async def test_over_stdio_the_one_token_is_sent(doorman: tuple[str, Doorman]) -> None:
    address, _ = doorman
    async with in_process(address, "good") as client:
        assert not (await client.call_tool("check_conflict", ARGUMENTS)).is_error
    async with in_process(address) as client:
        assert (await client.call_tool("check_conflict", ARGUMENTS)).content[0].text == "UNAUTHENTICATED: who?"


@pytest.mark.parametrize("flag", ["--token-file", "--tls-cert"])
def test_nobody_is_lent_what_the_command_was_given(flag: str) -> None:
    assert flag in one_error_line(xmguard("mcp", "--http-port", "0", flag, "file"))


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = xmguard("mcp", "--http-port", str(taken.getsockname()[1]))
    assert "--http-port 0" in one_error_line(done)


def test_it_needs_neither_model_nor_server() -> None:
    heavy = ("torch", "transformers", "prometheus_client")
    program = f"import sys, xmguard_server.mcp.transports; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- the inspector -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(INSPECTOR is None, reason="the MCP inspector is not installed: make test-reliability")
def test_the_official_inspector_calls_a_tool(served: Serving, tmp_path: Path) -> None:
    program, *arguments = command(served.address)
    settings = tmp_path / "mcp.json"
    entry = {"command": program, "args": arguments, "env": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    settings.write_text(json.dumps({"mcpServers": {"xmguard": entry}}))
    call = ["--method", "tools/call", "--tool-name", "answer", "--tool-arg", f"question={REQUEST.question}"]
    spans = f"spans={json.dumps(ARGUMENTS['spans'])}"
    done = subprocess.run(
        [str(INSPECTOR), "--cli", "--config", settings, "--server", "xmguard", *call, spans],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["structuredContent"]["answer"] == "".join(WORDS)
    assert served.guard.calls[0][0] == REQUEST
