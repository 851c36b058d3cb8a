"""What the clients do about calls that fail: again, later, anew, or not at all; and as whom they call."""

from __future__ import annotations

import asyncio
import itertools
import math
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
import typer

from tests.scripted import REQUEST, VERDICT, WORDS, raising, serving
from tests.serving.auth_matrix import Keys
from tests.unit.command_line import one_error_line, xmguard
from xmguard import wire
from xmguard.cli.app import build_app
from xmguard.client import AsyncClient, Client, Restarted, Retries, Tls, read_token
from xmguard.errors import DeadlineExceeded, ErrorCode, InvalidRequest, Reason, SetupIncomplete, XmguardError
from xmguard.examples import agent
from xmguard.response import AnswerResponse, CheckResponse, ConflictVerdict, Decision, Delta, Done, Started, Status
from xmguard_server.config import TlsFiles

BUSY = XmguardError("wait", code=ErrorCode.RESOURCE_EXHAUSTED, reason=Reason.QUEUE_FULL, retry_after=0.15)
GONE = XmguardError("gone", code=ErrorCode.UNAVAILABLE, reason=Reason.WORKER_LOST)
EVENTS = (Started("r"), VERDICT, Delta("one"), Done(AnswerResponse(answer="one")))


class Bare:
    """A gRPC server without a guard, whose calls fail or succeed as they are told, in order."""

    def __init__(self, *failures: XmguardError | None, events_before: int = 0) -> None:
        self.failures = list(failures)
        self.events_before = events_before
        self.seen: list[tuple[float, dict[str, Any]]] = []

    def _enter(self, context: Any) -> XmguardError | None:
        self.seen.append((time.monotonic(), {str(key): value for key, value in context.invocation_metadata()}))
        context.set_trailing_metadata((("x-request-id", "of-the-server"),))
        return self.failures.pop(0) if self.failures else None

    def unary(self, data: bytes, context: Any) -> bytes:
        if error := self._enter(context):
            self._abort(context, error)
        return wire.ANSWER.pack_response(AnswerResponse(answer="ok"))

    def stream(self, data: bytes, context: Any) -> Iterator[bytes]:
        error = self._enter(context)
        for number, event in enumerate(EVENTS):
            if error is not None and number == self.events_before:
                self._abort(context, error)
            yield wire.STREAM_ANSWER.pack_response((number, event))

    @staticmethod
    def _abort(context: Any, error: XmguardError) -> None:
        status = wire.to_status(error)
        trailers = (("grpc-status-details-bin", status.SerializeToString()), ("x-request-id", "of-the-server"))
        context.set_trailing_metadata(trailers)
        context.abort(grpc.StatusCode[error.code.value], status.message)


@contextmanager
def listening(bare: Bare, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {
        wire.ANSWER.name: grpc.unary_unary_rpc_method_handler(bare.unary),
        wire.STREAM_ANSWER.name: grpc.unary_stream_rpc_method_handler(bare.stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(wire.SERVICE, handlers),))
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def answered(kind: str, address: str, method: str = "answer", **settings: Any) -> list[Any]:
    """What a call gives: the answer, or the events of a stream, by the client of that kind."""
    calls = {"timeout": settings.pop("call_timeout", None), "request_id": settings.pop("request_id", "")}
    if kind == "sync":
        with Client(address, **settings) as client:
            given = getattr(client, method)(REQUEST, **calls)
            return [given.answer] if method == "answer" else list(given)

    async def ask() -> list[Any]:
        async with AsyncClient(address, **settings) as client:
            given = getattr(client, method)(REQUEST, **calls)
            return [(await given).answer] if method == "answer" else [event async for event in given]

    return asyncio.run(ask())


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
@pytest.mark.parametrize("method", ["answer", "stream"])
def test_a_busy_server_is_asked_again_after_the_time_it_names(kind: str, method: str) -> None:
    bare = Bare(BUSY, BUSY)
    with listening(bare) as address:
        given = answered(kind, address, method)
    assert given == ["ok"] if method == "answer" else given == list(EVENTS)
    times = [at for at, _ in bare.seen]
    assert len(times) == 3
    assert all(0.15 <= later - earlier < 1.0 for earlier, later in itertools.pairwise(times))


@both
@pytest.mark.parametrize("method", ["answer", "stream"])
def test_asking_again_is_logged_with_the_call_the_attempt_and_the_wait(
    kind: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "xmguard.client")
    with listening(Bare(BUSY, BUSY)) as address:
        answered(kind, address, method, retries=Retries(attempts=3))
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("xmguard")]
    call = {"answer": "Answer", "stream": "StreamAnswer"}[method]
    assert [re.sub(r"0\.(1[5-9])", "0.1_", line) for line in lines] == [
        f"{call} at {address}: attempt {number} of 3, 0.1_ s after QUEUE_FULL" for number in (2, 3)
    ]
    assert {record.levelname for record in caplog.records if record.name.startswith("xmguard")} == {"INFO"}


def test_nothing_is_printed_about_it_by_a_program_that_configures_no_logging() -> None:
    program = "import sys, xmguard; print(xmguard.Client(sys.argv[1]).answer(question='q?').answer)"
    bare = Bare(BUSY)
    with listening(bare) as address:
        ran = subprocess.run([sys.executable, "-c", program, address], capture_output=True, text=True, check=True)
    assert len(bare.seen) == 2
    assert ran.stdout == "ok\n"
    assert "retry" not in ran.stderr


@both
def test_it_is_not_asked_again_when_the_callers_time_would_be_up(kind: str) -> None:
    later = XmguardError("wait", code=ErrorCode.RESOURCE_EXHAUSTED, reason=Reason.QUEUE_FULL, retry_after=60.0)
    bare = Bare(later)
    with listening(bare) as address, pytest.raises(XmguardError, match="wait") as caught:
        answered(kind, address, call_timeout=30.0)
    assert caught.value.reason is Reason.QUEUE_FULL
    assert len(bare.seen) == 1


@both
@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest.field("question", "is empty"),
        XmguardError("never fits", code=ErrorCode.RESOURCE_EXHAUSTED, reason=Reason.REQUEST_TOO_LARGE),
        XmguardError("a bug"),
    ],
    ids=["invalid", "too-large", "internal"],
)
def test_what_would_fail_again_is_not_asked_again(kind: str, error: XmguardError) -> None:
    bare = Bare(error)
    with listening(bare) as address, pytest.raises(XmguardError) as caught:
        answered(kind, address)
    assert caught.value.reason is error.reason
    assert len(bare.seen) == 1


@both
@pytest.mark.parametrize("method", ["answer", "stream"])
def test_a_server_that_was_not_there_for_a_moment_is_tried_again(kind: str, method: str) -> None:
    bare = Bare(GONE, GONE, GONE, GONE)
    with listening(bare) as address:
        answered(kind, address, method)
    assert len(bare.seen) == 5


@both
def test_attempts_are_counted(kind: str) -> None:
    bare = Bare(*[BUSY] * 3)
    with listening(bare) as address, pytest.raises(XmguardError):
        answered(kind, address, retries=Retries(attempts=2))
    assert len(bare.seen) == 2
    with listening(Bare(GONE)) as address, pytest.raises(XmguardError) as caught:
        answered(kind, address, retries=Retries(attempts=1))
    assert caught.value.reason is Reason.WORKER_LOST
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Retries(attempts=0)
    with pytest.raises(ValueError, match="initial_backoff"):
        Retries(initial_backoff=0.001)


def test_a_third_of_failures_does_not_drain_the_throttle() -> None:
    """By itself a throttle of gRPC's ends all repeating once failures outweigh successes."""
    bare = Bare(*[GONE, None, None] * 60)
    with listening(bare) as address, Client(address, retries=Retries(initial_backoff=0.01)) as client:
        assert {client.answer(REQUEST).answer for _ in range(120)} == {"ok"}


@both
def test_a_stream_that_breaks_on_the_way_is_an_error(kind: str) -> None:
    bare = Bare(GONE, events_before=3)
    with listening(bare) as address, pytest.raises(XmguardError, match="gone"):
        answered(kind, address, "stream")
    assert len(bare.seen) == 1


@both
def test_a_stream_begins_anew_where_that_is_asked_for_and_says_so(kind: str) -> None:
    bare = Bare(GONE, GONE, events_before=3)
    with listening(bare) as address:
        given = answered(kind, address, "restarting_stream")
    restarts = [event for event in given if isinstance(event, Restarted)]
    assert [event.attempt for event in restarts] == [2, 3]
    assert {event.error.reason for event in restarts} == {Reason.WORKER_LOST}
    assert given[-4:] == list(EVENTS)
    assert [type(event) for event in given[:4]] == [Started, ConflictVerdict, Delta, Restarted]
    bare = Bare(*[GONE] * 3, events_before=1)
    with listening(bare) as address, pytest.raises(XmguardError, match="gone"):
        answered(kind, address, "restarting_stream", retries=Retries(attempts=3))
    assert len(bare.seen) == 3


@both
def test_all_attempts_share_the_time_of_the_call(kind: str) -> None:
    def late(data: bytes, context: Any) -> bytes:
        time.sleep(0.4)
        return wire.ANSWER.pack_response(AnswerResponse())

    bare = Bare()
    bare.unary = late  # type: ignore[method-assign]
    started = time.monotonic()
    with listening(bare) as address, pytest.raises(DeadlineExceeded, match=r"did not finish within 0\.2 s;"):
        answered(kind, address, timeout=30.0, call_timeout=0.2)
    assert time.monotonic() - started < 5.0
    with listening(bare) as address, pytest.raises(DeadlineExceeded, match=r"did not finish within 0\.1 s;"):
        answered(kind, address, timeout=0.1)


@both
def test_a_stream_that_takes_too_long_is_told_its_own_time(kind: str) -> None:
    bare, over = Bare(), threading.Event()

    def never(data: bytes, context: Any) -> Iterator[bytes]:
        over.wait(10)
        yield b""

    bare.stream = never  # type: ignore[method-assign]
    with listening(bare) as address:
        with pytest.raises(DeadlineExceeded, match=r"did not finish within 0\.2 s;"):
            answered(kind, address, "stream", timeout=30.0, call_timeout=0.2)
        over.set()


@both
@pytest.mark.parametrize("method", ["stream", "restarting_stream"])
def test_an_answer_that_is_whole_is_not_lost_with_its_connection(kind: str, method: str) -> None:
    bare = Bare()

    def lost(data: bytes, context: Any) -> Iterator[bytes]:
        bare.seen.append((time.monotonic(), {}))
        for numbered in enumerate(EVENTS):
            yield wire.STREAM_ANSWER.pack_response(numbered)
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    bare.stream = lost  # type: ignore[method-assign]
    with listening(bare) as address:
        assert answered(kind, address, method) == list(EVENTS)
    assert len(bare.seen) == 1


@both
def test_calls_name_themselves_and_errors_say_what_the_server_calls_them(kind: str) -> None:
    bare = Bare(None, XmguardError("a bug"))
    with listening(bare) as address:
        answered(kind, address, token="secret", request_id="mine")
        with pytest.raises(XmguardError) as caught:
            answered(kind, address)
    sent = bare.seen[0][1]
    assert (sent["authorization"], sent["x-request-id"]) == ("Bearer secret", "mine")
    assert caught.value.request_id == "of-the-server"
    assert "authorization" not in bare.seen[1][1]


@both
@pytest.mark.parametrize("method", ["answer", "stream"])
@pytest.mark.parametrize("named", ["two\nlines", "é", "two words", "x" * 129])
def test_a_name_that_no_server_repeats_is_refused(kind: str, method: str, named: str) -> None:
    bare = Bare()
    with listening(bare) as address, pytest.raises(InvalidRequest, match="request_id: must be 1 to 128") as caught:
        answered(kind, address, method, token="secret", request_id=named)
    assert not bare.seen
    assert "secret" not in str(caught.value)


@both
@pytest.mark.parametrize("seconds", [math.inf, 1e11])
def test_whoever_has_time_without_end_is_answered(kind: str, seconds: float) -> None:
    with listening(Bare()) as address:
        assert answered(kind, address, timeout=seconds) == answered(kind, address, call_timeout=seconds) == ["ok"]
        with pytest.raises(InvalidRequest, match="timeout: is no number"):
            answered(kind, address, timeout=math.nan)


def test_a_token_goes_to_other_machines_only_encrypted() -> None:
    with pytest.raises(XmguardError, match="in clear text") as caught:
        Client("guard.example:443", token="secret")
    assert "secret" not in str(caught.value)
    Client("[::1]:50051", token="secret").close()
    Client("guard.example:443", token="secret", tls=Tls()).close()
    with pytest.raises(SetupIncomplete, match="no bearer token"):
        Client("127.0.0.1:1", token="two words")


@both
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would get the token in clear text, and what it reaches under that address is itself."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as proxy, listening(Bare()) as address:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert answered(kind, address, token="secret", timeout=10.0) == ["ok"]
        with pytest.raises(XmguardError):  # one for another machine does go there
            answered(kind, "guard.example:50051", timeout=0.5)
        proxy.settimeout(5)
        asking, _ = proxy.accept()
        with asking:
            assert asking.recv(100).startswith(b"CONNECT guard.example:50051 ")


def test_both_sides_may_have_to_show_certificates(tmp_path: Path) -> None:
    ca, mine = trustme.CA(), tmp_path / "mine.pem"
    server, own = ca.issue_cert("guard.example"), ca.issue_cert("agent.example")
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    own.cert_chain_pems[0].write_to_path(str(mine))
    credentials = grpc.ssl_server_credentials(
        [(server.private_key_pem.bytes(), server.cert_chain_pems[0].bytes())], ca.cert_pem.bytes(), True
    )
    whole = Tls(tmp_path / "ca.pem", mine, tmp_path / "key.pem", "guard.example")
    with listening(Bare(), credentials) as address:
        assert answered("sync", address, tls=whole) == answered("async", address, tls=whole) == ["ok"]
        named = Tls(str(tmp_path / "ca.pem"), str(mine), str(tmp_path / "key.pem"), "guard.example")
        assert answered("sync", address, tls=named) == ["ok"]
        for less in (Tls(tmp_path / "ca.pem", server_name="guard.example"), Tls(server_name="guard.example")):
            with pytest.raises(XmguardError) as caught:
                answered("sync", address, tls=less, retries=Retries(attempts=1))
            assert caught.value.reason is Reason.SERVER_UNREACHABLE
    with pytest.raises(SetupIncomplete, match="belong together"):
        Client("127.0.0.1:1", tls=Tls(certificate=mine))
    with pytest.raises(SetupIncomplete, match="No such file"):
        Client("127.0.0.1:1", tls=Tls(ca=tmp_path / "none.pem"))


@pytest.mark.parametrize("text", ["", "\n", "hello"])
def test_a_file_of_tls_that_holds_nothing_of_the_kind_is_refused(tmp_path: Path, text: str) -> None:
    """To grpc an empty one is none at all: everybody's authorities are trusted, and no certificate is shown."""
    ca, own, wrong = trustme.CA(), trustme.CA().issue_cert("agent.example"), tmp_path / "wrong.pem"
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "mine.pem"))
    wrong.write_text(text)
    for tls, what in (
        (Tls(wrong), "certificate"),
        (Tls(tmp_path / "key.pem"), "certificate"),
        (Tls(tmp_path / "ca.pem", wrong, tmp_path / "key.pem"), "certificate"),
        (Tls(tmp_path / "ca.pem", tmp_path / "mine.pem", wrong), "private key"),
    ):
        with pytest.raises(SetupIncomplete, match=f"is no PEM file with a {what}: -----BEGIN {what.upper()}-----"):
            Client("127.0.0.1:1", tls=tls)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [("", 0o600, "holds no bearer token"), ("secret\n", 0o644, "chmod 600"), (None, 0o600, "cannot be read")],
    ids=["empty", "everybody's", "missing"],
)
def test_a_token_file_that_is_no_good_is_refused(tmp_path: Path, text: str | None, mode: int, said: str) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    spans = ("--span", "en:a", "--span", "en:b")
    line = one_error_line(xmguard("ask", "--server", "127.0.0.1:1", "--token-file", str(file), *spans, "q?"))
    assert said in line
    assert "secret" not in line


def test_a_token_file_is_named_by_a_path_or_a_string(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    file.chmod(0o600)
    assert read_token(file) == read_token(str(file)) == "secret"


def test_the_commands_send_the_token_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, bare = tmp_path / "token", Bare()
    file.write_text("secret\n")
    file.chmod(0o600)
    with listening(bare) as address:
        monkeypatch.setenv("XMGUARD_TOKEN_FILE", str(file))
        assert xmguard("ask", "--server", address, "--json", "--span", "en:a", "--span", "en:b", "q?").exit_code == 0
    assert bare.seen[0][1]["authorization"] == "Bearer secret"


class Deciding:
    """Stands for a server in the example's loop: one verdict or error for every question."""

    def __init__(self, *says: Decision | XmguardError) -> None:
        self.says = list(says)

    def check(self, **fields: Any) -> CheckResponse:
        said = self.says.pop(0)
        if isinstance(said, XmguardError):
            raise said
        return CheckResponse("r", ConflictVerdict(said, None, Status.OK, "because"))


def test_the_example_acts_only_on_sources_that_agree() -> None:
    tasks = [*agent.read()] * 2
    done: list[agent.Task] = []
    guard: Any = Deciding(Decision.CONFLICT, Decision.CONSISTENT, Decision.UNDETERMINED, GONE)
    outcomes = list(agent.run(tasks, guard, done.append))
    assert [outcome.acted for outcome in outcomes] == [False, True, False, False]
    assert done == [tasks[1]]
    assert [outcome.why.split(":")[0] for outcome in outcomes] == [
        "CONFLICT",
        "because",
        "UNDETERMINED",
        "could not be checked (WORKER_LOST)",
    ]


def test_the_example_runs_against_a_real_server(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as served:
        assert agent.main(["--server", served.address]) == 0
    assert capsys.readouterr().out.count("asking a person about") == 2
    with serving(raising(XmguardError("a bug"))) as served:
        assert agent.main(["--server", served.address]) == 1
    assert capsys.readouterr().out.count("could not be checked (INTERNAL)") == 2


def test_the_example_encrypts_and_says_who_it_is_as_the_commands_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, ca = Keys(tmp_path), trustme.CA()
    issued = ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    token = tmp_path / "token"
    token.write_text(keys.token("guard"))
    token.chmod(0o600)
    tls = TlsFiles(tmp_path / "certificate.pem", tmp_path / "key.pem", None)
    with serving(tls=tls, tokens=keys.file) as served:
        known = ["--server", served.address, "--tls-ca", str(tmp_path / "ca.pem")]
        assert agent.main([*known, "--token-file", str(token)]) == 0
        assert agent.main(known) == 1
        assert capsys.readouterr().out.count("could not be checked (UNAUTHENTICATED)") == 2
        monkeypatch.setenv("XMGUARD_TOKEN_FILE", str(token))
        monkeypatch.setenv("XMGUARD_TLS_CA", str(tmp_path / "ca.pem"))
        assert agent.main(["--server", served.address]) == 0
    token.unlink()
    with pytest.raises(SystemExit) as ended:
        agent.main([])
    assert ended.value.code == 2
    assert "token cannot be read: No such file" in capsys.readouterr().err


def test_the_example_knows_the_flags_and_variables_of_the_commands() -> None:
    command = typer.main.get_command(build_app()).commands["ask"]
    files = {option.opts[0]: option.envvar for option in command.params if (option.envvar or "").startswith("XMGUARD_")}
    assert files == {f"--{flag}": f"XMGUARD_{flag.replace('-', '_').upper()}" for flag in agent.FILES}


def test_the_words_of_the_scripted_guard_are_a_stream_here_too() -> None:
    with serving() as served, Client(served.address) as client:
        deltas = [event.text for event in client.restarting_stream(REQUEST) if isinstance(event, Delta)]
    assert tuple(deltas) == WORDS
