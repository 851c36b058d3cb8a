"""What the client does on its own: building requests, checking sizes and streams, and saying what went wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from xmguard import wire
from xmguard.client import AsyncClient, Client, RequestFields, Retries
from xmguard.client.transport import explained
from xmguard.errors import Cancelled, ErrorCode, InvalidRequest, Reason, XmguardError
from xmguard.request import AnswerRequest
from xmguard.response import (
    AnswerResponse,
    CheckResponse,
    ConflictVerdict,
    Decision,
    Delta,
    Disagreement,
    Done,
    Limits,
    Quote,
    Started,
)
from xmguard.span import Span


@contextmanager
def answering(*methods: tuple[wire.Method[Any, Any], Callable[..., Any]]) -> Iterator[str]:
    """The address of a bare gRPC server whose methods are these functions of bytes."""
    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {
        method.name: (grpc.unary_stream_rpc_method_handler if method.streams else grpc.unary_unary_rpc_method_handler)(
            behaviour
        )
        for method, behaviour in methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def echo(data: bytes, context: Any) -> bytes:
    return wire.ANSWER.pack_response(AnswerResponse(raw_answer=wire.to_json(wire.ANSWER.unpack_request(data))))


def streamed(*numbered: wire.Numbered) -> tuple[wire.Method[Any, Any], Callable[..., Any]]:
    return wire.STREAM_ANSWER, lambda data, context: (wire.STREAM_ANSWER.pack_response(item) for item in numbered)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_caller_that_stops_reading_at_done_does_not_cancel_the_call(kind: str) -> None:
    ended_alive = []

    def slow_to_end(data: bytes, context: Any) -> Iterator[bytes]:
        yield wire.STREAM_ANSWER.pack_response((0, Done()))
        time.sleep(0.3)
        ended_alive.append(context.is_active())

    with answering((wire.STREAM_ANSWER, slow_to_end)) as address:
        if kind == "sync":
            with Client(address) as client:
                assert next(client.stream(question="q?")) == Done()
        else:
            async with AsyncClient(address) as other:
                assert await anext(other.stream(question="q?")) == Done()
        time.sleep(0.4)
    assert ended_alive == [True]


def test_keywords_are_the_fields_of_a_request() -> None:
    assert set(RequestFields.__annotations__) == {field.name for field in dataclasses.fields(AnswerRequest)}


def test_a_request_can_be_given_whole_as_keywords_or_both() -> None:
    request = AnswerRequest(spans=(Span(text="a"),), question="q?")
    with answering((wire.ANSWER, echo)) as address, Client(address) as client:

        def sent(*arguments: Any, **fields: Any) -> AnswerRequest:
            return wire.from_json(AnswerRequest, client.answer(*arguments, **fields).raw_answer)

        assert sent(request) == request
        assert sent(question="q?", spans=[Span(text="a")]) == request
        assert sent(request, question="another?") == dataclasses.replace(request, question="another?")
        with pytest.raises(TypeError, match="qestion"):
            sent(qestion="q?")


def test_quotes_come_through_in_answers_streams_and_checks() -> None:
    quoted = Disagreement("s1", "s2", "25%", "15%", 0.9, Quote("Рост — 25%. 🚌", 4, 17), Quote("15", 0, 2))
    verdict = ConflictVerdict(Decision.CONFLICT, disagreements=(quoted, dataclasses.replace(quoted, evidence_a=None)))
    done = AnswerResponse(verdict=verdict)
    told = ((0, Started()), (1, verdict), (2, Done(done)))
    methods = (
        (wire.ANSWER, lambda data, context: wire.ANSWER.pack_response(done)),
        (wire.CHECK, lambda data, context: wire.CHECK.pack_response(CheckResponse(verdict=verdict))),
        streamed(*told),
    )
    with answering(*methods) as address, Client(address) as client:
        assert client.answer(question="q").verdict == verdict
        assert client.check(question="q").verdict == verdict
        assert tuple(client.stream(question="q")) == tuple(event for _, event in told)
    assert wire.from_json(AnswerResponse, wire.to_json(done)) == done


def test_a_value_of_the_wrong_type_is_named_before_anything_is_sent() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(InvalidRequest) as caught:
        client.answer(question="q?", spans=["not a span"])  # type: ignore[list-item]
    assert [violation.field for violation in caught.value.violations] == ["spans[0]"]


def test_a_request_that_cannot_be_sent_is_refused_with_the_limit() -> None:
    limit = Limits().max_message_bytes
    with Client("127.0.0.1:1") as client, pytest.raises(InvalidRequest, match=f"at most {limit:,}"):
        client.answer(question="q?", spans=[Span(text="x" * (limit + 1))])


@pytest.mark.parametrize(
    ("numbered", "complaint"),
    [
        (((0, Started()), (1, Delta("a"))), "without its last event"),
        (((0, Started()), (2, Done())), "event 2 came where 1 was due"),
        (((0, Done()), (1, Delta("late"))), "broken"),
    ],
)
def test_a_stream_that_is_not_whole_is_an_error(numbered: tuple[wire.Numbered, ...], complaint: str) -> None:
    with (
        answering(streamed(*numbered)) as address,
        Client(address) as client,
        pytest.raises(XmguardError, match=complaint),
    ):
        list(client.stream(question="q?"))


def test_a_server_of_another_kind_is_told_apart_from_none() -> None:
    with (
        answering() as address,
        Client(address) as client,
        pytest.raises(XmguardError, match="not an xmguard") as caught,
    ):
        client.model()
    assert (caught.value.code, caught.value.reason) == (ErrorCode.UNIMPLEMENTED, Reason.SERVER_UNREACHABLE)
    assert address in str(caught.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1", "which names no port; write HOST:PORT, as in 127.0.0.1:50051"),
        ("[::1]", "which names no port; write HOST:PORT, as in [::1]:50051"),
        # Longer than a part of a name may be, so that no name server is asked.
        (f"{'x' * 64}.example:50051", "no host of the name in "),
    ],
)
def test_an_address_that_is_none_is_told(address: str, said: str) -> None:
    once = Retries(attempts=1)
    with Client(address, retries=once) as client, pytest.raises(XmguardError, match=re.escape(said)) as caught:
        client.model()
    assert caught.value.reason is Reason.SERVER_UNREACHABLE
    assert address in str(caught.value)


_SSL = "handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("DNS resolution failed for a:1: C-ares status is not ARES_SUCCESS qtype=A name=a: Not found", "no host of"),
        ("errors resolving a:1: [field:hostname lookup error:address lookup failed for a:1: Not found]", "no host of"),
        (f"last error: Ssl {_SSL}:CERTIFICATE_VERIFY_FAILED: certificate has expired", "certificate has expired"),
        (f"last error: Tls {_SSL}:CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", "certificate has expired"),
        (f"last error: Ssl {_SSL}:CERTIFICATE_VERIFY_FAILED", "is not trusted: no reason was reported"),
        (f"last error: Ssl {_SSL}:NO_SHARED_CIPHER", "NO_SHARED_CIPHER"),
        ("last error: Peer name a is not in peer certificate", "another name"),
        ("last error: verification: Hostname Verification Check failed.", "another name"),
        ("last error: UNAVAILABLE: ipv4:127.0.0.1:1: Socket closed", "--tls-cert FILE"),
        ("Socket closed", "no xmguard server answers at a:1; start one"),
    ],
)
def test_the_words_of_older_and_newer_grpc_are_understood(words: str, said: str) -> None:
    """Those of 1.71 and 1.85; the last ones are of a server that was lost on the way."""
    told = XmguardError(words, code=ErrorCode.UNAVAILABLE, reason=Reason.SERVER_UNREACHABLE)
    assert said in str(explained("a:1", 1.0, True, told))


async def test_nobody_answers_the_async_client() -> None:
    async with AsyncClient("127.0.0.1:1", timeout=5) as client:
        with pytest.raises(XmguardError, match="xmguard serve") as caught:
            await client.model()
        assert caught.value.reason is Reason.SERVER_UNREACHABLE
        with pytest.raises(XmguardError, match="xmguard serve"):
            await anext(client.stream(question="q?"))


def test_a_closed_client_says_so() -> None:
    client = Client("127.0.0.1:1")
    client.close()
    for call in (client.model, lambda: client.answer(question="q?"), lambda: list(client.stream(question="q?"))):
        with pytest.raises(XmguardError, match="this client is closed"):
            call()


async def test_a_closed_async_client_says_so() -> None:
    client = AsyncClient("127.0.0.1:1")
    await client.close()
    with pytest.raises(XmguardError, match="this client is closed"):
        await client.model()
    with pytest.raises(XmguardError, match="this client is closed"):
        await anext(client.stream(question="q?"))


async def test_closing_ends_calls_in_progress_without_cancelling_their_tasks() -> None:
    called, release = threading.Event(), threading.Event()

    def slow(data: bytes, context: Any) -> bytes:
        called.set()
        release.wait(10)
        return echo(data, context)

    async def ask(client: AsyncClient) -> Any:
        task = asyncio.create_task(client.answer(question="q?"))
        await asyncio.to_thread(called.wait, 10)
        called.clear()
        return task

    with answering((wire.ANSWER, slow)) as address:
        client = AsyncClient(address)
        task = await ask(client)
        await client.close()
        with pytest.raises(Cancelled, match="closed while"):
            await task
        async with AsyncClient(address) as client:
            task = await ask(client)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        release.set()


def test_both_clients_offer_the_same() -> None:
    def offered(client: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_")
        }

    assert offered(Client) == offered(AsyncClient)


def test_it_needs_no_model_libraries() -> None:
    program = "import sys, xmguard; xmguard.Client; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
