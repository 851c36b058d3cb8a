"""Who gets into the real server, and who does not."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from typer.testing import CliRunner

from tests.scripted import REQUEST, Serving, blocked, details, health, serving
from tests.serving.auth_matrix import IN, Keys, admin_door, basic, grpc_door, guarded, walk
from xmguard import wire
from xmguard.client import Client
from xmguard.deadline import Stop
from xmguard.errors import ErrorCode, Reason, SetupIncomplete, XmguardError
from xmguard_server import auth
from xmguard_server.auth import Scope, Tokens
from xmguard_server.calls import Call, Calls
from xmguard_server.commands import serve
from xmguard_server.config import ServerConfig
from xmguard_server.files import Fingerprint
from xmguard_server.ports import is_loopback
from xmguard_server.token_command import app
from xmguard_server.token_file import make, parse

SCOPES = frozenset(scope.value for scope in Scope)


@pytest.fixture(scope="module")
def door() -> Iterator[tuple[Serving, Keys]]:
    with guarded() as pair:
        yield pair


def answer(served: Serving, token: str) -> bytes:
    with grpc.insecure_channel(served.address) as channel:
        stub = channel.unary_unary(wire.ANSWER.path)
        return stub(wire.ANSWER.pack_request(REQUEST), timeout=5, metadata=(("authorization", f"Bearer {token}"),))


# -- the matrix --------------------------------------------------------------------------------------------------------


def test_nothing_is_open_that_should_not_be_and_nothing_closed_that_should_be_open() -> None:
    with guarded() as (served, keys):
        attempts = walk(served, keys)
        page = scrape_with(served, keys.token("admin"))
    assert [attempt for attempt in attempts if attempt.got != attempt.expected] == []
    assert {attempt.credential for attempt in attempts if attempt.door == "grpc"} >= {"none", "revoked", "expired"}
    assert len(attempts) > 300
    refused = sum(attempt.got == "UNAUTHENTICATED" for attempt in attempts)
    assert f'xmguard_rejected_total{{reason="UNAUTHENTICATED"}} {refused}.0' in page.splitlines()
    assert "NoSuchMethod" not in page
    assert "no.such.Service" not in page


def scrape_with(served: Serving, token: str) -> str:
    import urllib.request

    request = urllib.request.Request(served.metrics_url, headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=5) as page:
        return page.read().decode()


def test_the_matrix_has_every_method_of_every_service(door: tuple[Serving, Keys]) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    served, keys = door
    with grpc.insecure_channel(served.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        metadata = (("authorization", f"Bearer {keys.token('guard')}"),)
        (listed,) = list(stub.ServerReflectionInfo(iter([asked]), timeout=5, metadata=metadata))
    services = {service.name for service in listed.list_services_response.service}
    tried = grpc_door(served).targets
    assert {target.split("/")[1] for target in tried} >= services
    assert {method.name for method in health_pb2.DESCRIPTOR.services_by_name["Health"].methods} <= {
        target.split("/")[2] for target in tried
    }


def test_the_matrix_finds_a_door_left_open() -> None:
    with (
        guarded() as (served, keys),
        patch.object(Tokens, "find", lambda self, token: parse(make("x", [*SCOPES], None)[1], "", SCOPES)[0]),
    ):
        assert any(attempt.bypass for attempt in walk(served, keys, [admin_door]))


# -- what a refusal says -----------------------------------------------------------------------------------------------


def test_a_refusal_over_grpc_has_its_reason_and_reads_nothing(door: tuple[Serving, Keys]) -> None:
    served, _ = door
    before = len(served.guard.calls)
    with pytest.raises(grpc.RpcError) as caught:
        answer(served, "nonsense")
    info = error_details_pb2.ErrorInfo()
    assert details(caught.value).details[0].Unpack(info)
    assert (info.reason, info.domain) == ("UNAUTHENTICATED", "xmguard.dev")
    assert "nonsense" not in str(caught.value)
    assert len(served.guard.calls) == before


def test_the_client_says_who_it_is_and_learns_why_not(door: tuple[Serving, Keys]) -> None:
    served, keys = door
    with Client(served.address, token=keys.token("guard")) as client:
        assert client.answer(REQUEST).answer
    with (
        Client(served.address, token=keys.token("late")) as client,
        pytest.raises(XmguardError, match="this token has expired") as caught,
    ):
        list(client.stream(REQUEST))
    assert (caught.value.code, caught.value.reason) == (ErrorCode.UNAUTHENTICATED, Reason.UNAUTHENTICATED)
    assert caught.value.request_id


def test_a_call_that_sends_nothing_is_refused_all_the_same(door: tuple[Serving, Keys]) -> None:
    served, _ = door
    never = threading.Event()

    def requests() -> Iterator[bytes]:
        never.wait(5)
        yield b""

    with grpc.insecure_channel(served.address) as channel:
        call = channel.stream_stream(wire.ANSWER.path)(requests(), timeout=4)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        never.set()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_health_can_be_closed() -> None:
    with guarded(closed_health=True) as (served, keys):
        assert grpc_door(served).knock("/grpc.health.v1.Health/Check", ()) == "UNAUTHENTICATED"
        assert admin_door(served).knock("GET /healthz", ()) == "UNAUTHENTICATED"
        assert admin_door(served).knock("GET /readyz", (f"Bearer {keys.token('admin')}",)) == IN


def test_a_browser_may_send_the_token_as_a_password(door: tuple[Serving, Keys]) -> None:
    served, keys = door
    knock = admin_door(served).knock
    assert knock("GET /metrics", (basic(keys.token("admin")),)) == IN
    assert knock("GET /metrics", (basic(keys.token("guard")),)) == "PERMISSION_DENIED"
    for wrong in (basic("x"), basic(""), "Basic", "Basic !!!", "Basic " + "eA=="):
        assert knock("GET /metrics", (wrong,)) == "UNAUTHENTICATED"
    assert grpc_door(served).knock(wire.ANSWER.path, (basic(keys.token("guard")),)) == "UNAUTHENTICATED"


def test_the_caller_is_named_in_the_log_and_tokens_are_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with guarded() as (served, keys):
        answer(served, keys.token("guard"))
        with pytest.raises(grpc.RpcError):
            answer(served, keys.token("late"))
        scrape_with(served, keys.token("admin"))
    lines = [record.fields for record in caplog.records if record.name == "xmguard_server.access"]
    assert [line.get("caller") for line in lines] == ["guard", None, "admin"]
    everything = str([record.__dict__ for record in caplog.records])
    assert not [name for name in ("guard", "late", "admin") if keys.token(name) in everything]


def test_a_call_of_the_guard_knows_who_makes_it(door: tuple[Serving, Keys]) -> None:
    served, keys = door
    made: list[Call] = []

    def stop(self: Calls, call: Call) -> Stop:
        made.append(call)
        return Stop()

    with patch.object(Calls, "_stop", stop):
        answer(served, keys.token("guard"))
    assert [call.caller for call in made] == ["guard"]


# -- the file of tokens ------------------------------------------------------------------------------------------------


def test_a_token_is_out_as_soon_as_it_is_taken_out_and_a_running_call_ends_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = threading.Event()
    with guarded() as (served, keys), grpc.insecure_channel(served.address) as channel:
        served.guard.script = blocked(release)
        metadata = (("authorization", f"Bearer {keys.token('gone')}"),)
        stub = channel.unary_stream(wire.STREAM_ANSWER.path)
        stream = stub(wire.STREAM_ANSWER.pack_request(REQUEST), timeout=10, metadata=metadata)
        next(stream)
        keys.write(without="gone")
        with pytest.raises(grpc.RpcError) as caught:
            answer(served, keys.token("gone"))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        release.set()
        assert list(stream)
        assert answer(served, keys.token("guard"))
        keys.write()
        assert answer(served, keys.token("gone"))


def test_a_broken_file_leaves_the_tokens_before_in_force_and_is_logged_once(
    door: tuple[Serving, Keys], caplog: pytest.LogCaptureFixture
) -> None:
    served, keys = door
    try:
        for spoil in (
            lambda: keys.file.write_text('[[token]]\nname = "x"'),
            lambda: keys.file.write_text("not [toml"),
            lambda: keys.file.unlink(),
            lambda: (keys.write(), keys.file.chmod(0o666)),
        ):
            caplog.clear()
            spoil()
            assert answer(served, keys.token("guard"))
            assert answer(served, keys.token("guard"))
            (logged,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
            assert "the tokens read before stay in force" in logged
    finally:
        keys.file.unlink(missing_ok=True)
        keys.write()
    assert answer(served, keys.token("guard"))


def test_an_empty_file_lets_nobody_in(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    tokens = Tokens(keys.file)
    assert tokens.find(keys.token("guard")).name == "guard"
    keys.file.write_text("")
    assert tokens.find(keys.token("guard")) is None


def test_a_second_change_that_the_file_system_cannot_tell_from_the_first_is_seen(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    now = Fingerprint(time.time(), (1,))
    with patch.object(auth, "fingerprint", lambda path: now):
        tokens = Tokens(keys.file)
        keys.write(without="guard")
        assert tokens.find(keys.token("guard")) is None


ENTRY = make("a", ["guard"], None)[1]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = 1", r"\[\[token\]\] tables only"),
        ("token = 1", r"\[\[token\]\] tables only"),
        ("[[token", "is not TOML"),
        (ENTRY.replace('"a"', '"a b"'), "token 1: name"),
        (ENTRY.replace("name", "nam"), "token 1: unknown key nam"),
        (ENTRY.replace('["guard"]', '["everything"]'), "scopes must be a list of some of: admin, guard"),
        (ENTRY.replace('["guard"]', "[]"), "scopes must be"),
        (ENTRY.replace('["guard"]', '"guard"'), "scopes must be"),
        (ENTRY.replace('sha256 = "', 'sha256 = "Z'), "sha256 must be 64"),
        (ENTRY + "expires = 2027-01-01T00:00:00", "with its zone"),
        (ENTRY + ENTRY, "same sha256 twice"),
    ],
)
def test_a_file_of_tokens_that_is_wrong_says_where(text: str, complaint: str) -> None:
    with pytest.raises(SetupIncomplete, match=complaint):
        parse(text, "tokens.toml", SCOPES)


def test_the_command_makes_a_token_that_works(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["new", "me", "--scope", "guard", "--scope", "admin", "--days", "2"])
    assert made.exit_code == 0
    file = tmp_path / "tokens.toml"
    file.write_text(made.stdout)
    entry = Tokens(file).find(made.stderr.strip())
    assert (entry.name, entry.scopes) == ("me", ("guard", "admin"))
    assert 0 < entry.expires.timestamp() - time.time() <= 2 * 86400
    assert made.stderr.strip() not in made.stdout


# -- ports that others can reach ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("0", False),
        ("203.0.113.1", False),
        ("127.0.0.1.example.invalid", False),
    ],
)
def test_what_is_this_machines_alone(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("option", ["--host", "--admin-host"])
def test_a_port_that_others_can_reach_needs_authentication(option: str, tmp_path: Path) -> None:
    setting = {option.removeprefix("--").replace("-", "_"): "0.0.0.0"}
    with (
        pytest.raises(XmguardError, match=f"{option} 0.0.0.0 can be reached from other machines.*--tokens"),
        serving(**setting),
    ):
        pass
    with serving(insecure_open_bind=True, **setting) as served:
        assert health(served.address) == health_pb2.HealthCheckResponse.SERVING
    with serving(tokens=Keys(tmp_path).file, **setting) as served:
        assert grpc_door(served).knock(wire.ANSWER.path, ()) == "UNAUTHENTICATED"


def test_the_command_refuses_in_one_line_with_status_2() -> None:
    command = [sys.executable, "-m", "xmguard", "serve", "--port", "0", "--admin-port", "0", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --host 0.0.0.0 can be reached")


def test_files_that_are_not_there_are_named() -> None:
    with pytest.raises(SetupIncomplete, match="tokens file no-such-file cannot be read: No such file"):
        Tokens(Path("no-such-file"))
    with pytest.raises(SetupIncomplete, match="both --tls-cert and --tls-key"):
        serve(tls_cert=Path("x.pem"))


def test_defaults_are_this_machines_alone() -> None:
    assert is_loopback(ServerConfig().host)
    assert is_loopback(ServerConfig().admin_host)
