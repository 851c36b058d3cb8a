"""Requests that no honest client sends, byte by byte, to the ports of the real server."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator

import grpc
import pytest

from tests import scripted
from tests.scripted import REQUEST, Serving, blocked, eventually, health, scrape, serving
from xmguard import wire

BODY = b'{"messages": [{"role": "user", "content": "q?"}], "xmguard": {"spans": [{"text": "x"}]}}'
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
SECOND = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n"
"""What somebody hopes to have read as a request of its own."""
TEN_YEARS = 10 * 365 * 86400.0


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving(http_port=0) as running:
        yield running


@pytest.fixture(autouse=True)
def ordinary(served: Serving) -> None:
    served.guard.script = scripted.ordinary
    served.guard.calls.clear()


def told(served: Serving, sent: bytes) -> bytes:
    """All that a connection is told until it is closed."""
    with socket.create_connection(("127.0.0.1", int(served.http_url.rpartition(":")[2])), 10) as connection:
        connection.sendall(sent)
        got = b""
        try:
            while more := connection.recv(65536):
                got += more
        except ConnectionResetError:
            assert got  # what was sent after its end is not read, and so the end is a reset
    return got


# -- what a proxy in front may read otherwise --------------------------------------------------------------------------

SMUGGLED = {
    "both lengths": LENGTH + CHUNKED + b"\r\n" + CHUNKS,
    "both lengths, the other way round": CHUNKED + b"content-length: 4\r\n\r\n" + CHUNKS,
    "two lengths": b"content-length: 4\r\n" + LENGTH + b"\r\n" + BODY,
    "a list of lengths": b"content-length: 4, %d\r\n\r\n" % len(BODY) + BODY,
    "a signed length": b"content-length: +%d\r\n\r\n" % len(BODY) + BODY,
    "a length of Python's": b"content-length: 1_0\r\n\r\n" + BODY,
    "a length beyond all bounds": b"content-length: " + b"9" * 5000 + b"\r\n\r\n" + BODY,
    "a coding that is not known": b"transfer-encoding: xchunked\r\n\r\n" + CHUNKS,
    "two codings": b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "a space before the colon": b"transfer-encoding : chunked\r\n\r\n" + CHUNKS,
    "a header begun by a bare CR": b"x: a\rcontent-length: 3\r\n" + LENGTH + b"\r\n" + BODY,
    "NUL in a header": b"x: a\0b\r\n" + LENGTH + b"\r\n" + BODY,
    "two hosts": b"host: evil.example\r\n" + LENGTH + b"\r\n" + BODY,
    "a negative chunk": CHUNKED + b"\r\n-1\r\n" + BODY,
    "a chunk beyond all bounds": CHUNKED + b"\r\n" + b"f" * 30 + b"\r\n" + BODY,
}


@pytest.mark.parametrize("rest", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_a_request_whose_end_is_in_doubt_is_refused_and_nothing_after_it_is_read(served: Serving, rest: bytes) -> None:
    answers = told(served, HEAD + rest + SECOND)
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1 ") == 1
    assert served.guard.calls == []


def test_a_folded_header_is_one_header(served: Serving) -> None:
    folded = b"x-request-timeout:\r\n 5\r\nx-request-id: a\r\n content-length: 4\r\nconnection: close\r\n"
    answers = told(served, HEAD + folded + LENGTH + b"\r\n" + BODY)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"x-request-id: a\r\n" not in answers  # the fold is a space, and an id has none
    assert len(served.guard.calls) == 1


@pytest.mark.parametrize("target", [b"GET http://localhost/v1/models", b"CONNECT localhost:80"])
def test_what_is_asked_of_proxies_is_not_found(served: Serving, target: bytes) -> None:
    answers = told(served, target + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert answers.startswith(b"HTTP/1.1 404 ")
    assert b'"code":"REQUEST_INVALID"' in answers


def test_what_is_no_http_is_told_so_and_after_an_answer_has_begun_the_connection_is_closed(
    served: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    whole, begun = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"
    port = int(served.admin_url.rpartition(":")[2])
    for first, told_at_the_end in ((whole, b"HTTP/1.1 400 "), (whole[:-2] + begun, b"")):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(first)
            answer = b""
            while not answer.endswith(b"live\n"):
                answer += connection.recv(4096)
            connection.sendall(b"no chunk, and no request\r\n\r\n")
            assert connection.recv(13) == told_at_the_end
    assert [record for record in caplog.records if record.exc_info] == []


# -- what is small and becomes large -----------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"identity, gzip"])
def test_a_compressed_body_is_refused_by_name(served: Serving, coding: bytes) -> None:
    packed = gzip.compress(BODY)
    head = HEAD + b"content-encoding: %b\r\ncontent-length: %d\r\n\r\n" % (coding, len(packed))
    answers = told(served, head + packed)
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b'"param":"content-encoding"' in answers


def test_a_message_that_is_too_large_once_it_is_unpacked_is_refused() -> None:
    with (
        serving(max_message_bytes=1 << 20) as small,
        grpc.insecure_channel(small.address, [("grpc.max_send_message_length", -1)], grpc.Compression.Gzip) as channel,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(wire.ANSWER.path)(bytes(64 << 20), timeout=30)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        packed = wire.ANSWER.pack_request(REQUEST)
        assert wire.ANSWER.unpack_response(channel.unary_unary(wire.ANSWER.path)(packed, timeout=30)).answer
        assert health(small.address) == 1


# -- deadlines ---------------------------------------------------------------------------------------------------------


def test_a_deadline_of_a_millisecond_leaves_nothing_behind(served: Serving) -> None:
    served.guard.script = blocked(threading.Event())
    with grpc.insecure_channel(served.address) as channel:
        for _ in range(20):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(wire.ANSWER.path)(wire.ANSWER.pack_request(REQUEST), timeout=0.001)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    head = HEAD + b"x-request-timeout: 0.001\r\nconnection: close\r\n" + LENGTH + b"\r\n"
    assert told(served, head + BODY).startswith(b"HTTP/1.1 504 ")
    for load in ("running", "waiting"):
        eventually(lambda load=load: f"xmguard_requests_{load} 0.0" in scrape(served.metrics_url))


def test_a_deadline_of_ten_years_is_the_longest_that_is_served(served: Serving) -> None:
    with grpc.insecure_channel(served.address) as channel:
        channel.unary_unary(wire.ANSWER.path)(wire.ANSWER.pack_request(REQUEST), timeout=TEN_YEARS)
    head = HEAD + b"x-request-timeout: %f\r\nconnection: close\r\n" % TEN_YEARS + LENGTH + b"\r\n"
    assert told(served, head + BODY).startswith(b"HTTP/1.1 200 ")
    assert [stop.remaining() <= 300 for _, stop, *_ in served.guard.calls] == [True, True]
