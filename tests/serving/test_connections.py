"""Connections that mean no good, on the ports of the real server, while somebody honest wants an answer."""

from __future__ import annotations

import resource
import socket
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.scripted import REQUEST, Serving, health, serving
from tests.serving.test_tls import Party, ask, files
from xmguard.client import Client, Retries
from xmguard_server import app
from xmguard_server.http import port as http_port

MANY = 1000


@pytest.fixture(scope="module")
def served() -> Iterator[Serving]:
    with serving(http_port=0) as running:
        yield running


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Enough for both ends of many connections; both are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * MANY + 500
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"a process may have {hard} descriptors here; {needed} are needed")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


def ports(served: Serving) -> Sequence[int]:
    return port(served.admin_url), port(served.http_url), port(served.address)


@contextmanager
def connected(where: int, count: int = 1, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as held:
        yield [held.enter_context(talking(where, sent)) for _ in range(count)]


def talking(where: int, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", where), 10)
    connection.sendall(sent)
    return connection


def is_closed(connection: socket.socket, within: float = 10.0) -> bool:
    """Whether the other end closes it, whatever it says before."""
    connection.settimeout(within)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def honest(served: Serving) -> None:
    """Answers over every port, at the first attempt."""
    with Client(served.address, retries=Retries(attempts=1), timeout=20) as client:
        assert client.answer(REQUEST).answer
    for url in (f"{served.admin_url}/readyz", f"{served.http_url}/v1/models"):
        with urllib.request.urlopen(url, timeout=20) as page:
            assert page.status == 200


# -- who says nothing --------------------------------------------------------------------------------------------------


HALF = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nx: "
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How a client of gRPC begins: nothing is left to wait for but its calls."""


@pytest.mark.parametrize("sent", [b"", HALF, HTTP2], ids=["silent", "half a header", "HTTP/2"])
def test_a_thousand_idle_connections_keep_nobody_out(served: Serving, descriptors: None, sent: bytes) -> None:
    for where in ports(served):
        with connected(where, MANY, sent) as idle:
            honest(served)
            if where != port(served.address):
                assert is_closed(idle[0], within=5)  # to make room, before its time to send a header is up


def test_what_is_answered_is_not_closed_to_make_room(served: Serving, descriptors: None) -> None:
    where = port(served.http_url)
    body = b'{"messages": [{"role": "user", "content": "q?"}], "xmguard": {"spans": [{"text": "x"}]}}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    with connected(where, sent=head + body[:10]) as (slow,):
        honest(served)  # so that by now the server has read what came before, and begun to answer it
        with connected(where, 2 * http_port._CONNECTIONS):
            honest(served)
        slow.sendall(body[10:])
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")


# -- handshakes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (app, http_port):
        monkeypatch.setattr(module, "HANDSHAKE_SECONDS", 1.0)


HELLO = b"\x16\x03\x01\x02\x00\x01"
"""How a client begins; no more of it ever comes."""


@pytest.mark.parametrize("sent", [b"", HELLO], ids=["silent", "begun"])
def test_a_handshake_that_is_never_finished_is_given_up(tmp_path: Path, impatient: None, sent: bytes) -> None:
    party = Party(tmp_path / "server", ["localhost", "127.0.0.1"])
    with serving(tls=files(party), http_port=0) as served:
        with ExitStack() as held:
            silent = [held.enter_context(talking(where, sent)) for where in ports(served)]
            assert [is_closed(connection) for connection in silent] == [True] * 3
        ask(served, party)


def test_a_client_of_grpc_without_tls_that_never_begins_is_given_up(impatient: None) -> None:
    with serving() as served:
        with connected(port(served.address)) as (connection,):
            assert is_closed(connection)
        assert health(served.address) == 1
