"""Every way into a server, tried with every kind of credential.

A door is a port and a protocol: its targets, and how one of them is asked for with an authorization. A protocol that is
added brings a function that makes its `Door`, and nothing else here changes. `python -m tests.serving.auth_matrix`
prints what got where it should not.
"""

from __future__ import annotations

import base64
import http.client
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from tests.scripted import Serving, serving
from xmguard import wire
from xmguard_server.auth import Scope
from xmguard_server.grpc_auth import HEALTH_CHECK
from xmguard_server.inference_protocol import INFERENCE_SERVICE
from xmguard_server.token_file import make

IN = "in"
"""It got past the door, whatever it was told there."""
UNAUTHENTICATED = "UNAUTHENTICATED"
PERMISSION_DENIED = "PERMISSION_DENIED"


@dataclass(frozen=True)
class Door:
    """A port and a protocol."""

    name: str
    scope: Scope
    targets: Sequence[str]
    open: frozenset[str]
    """Targets that ask nobody who they are."""
    knock: Callable[[str, Sequence[str]], str]
    """Ask for a target with these values of `authorization`; gives IN or the status of the refusal."""


@dataclass(frozen=True)
class Attempt:
    """One target, one credential."""

    door: str
    target: str
    credential: str
    expected: str
    got: str

    @property
    def bypass(self) -> bool:
        """Whether it got in and should not have."""
        return self.got == IN != self.expected


class Keys:
    """A file of tokens, and tokens of every kind for it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "tokens.toml"
        self._entries: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        past = datetime.now(UTC) - timedelta(seconds=1)
        for name, scopes, expires in (
            ("guard", ["guard"], None),
            ("admin", ["admin"], None),
            ("both", ["guard", "admin"], None),
            ("late", ["guard", "admin"], past),
            ("gone", ["guard", "admin"], None),
        ):
            self._tokens[name], self._entries[name] = make(name, scopes, expires)
        self._tokens["wrong"], _ = make("stranger", ["guard"], None)
        self.write()

    def token(self, name: str) -> str:
        return self._tokens[name]

    def write(self, *, without: str = "") -> None:
        """Write the file in one step, as editors and orchestrators do."""
        new = self.file.with_suffix(".new")
        new.write_text("\n".join(entry for name, entry in self._entries.items() if name != without), encoding="utf-8")
        new.chmod(0o600)
        os.replace(new, self.file)

    def credentials(self, scope: Scope) -> Mapping[str, tuple[Sequence[str], str]]:
        """By name: the values of `authorization`, and what they get at a door of this scope."""
        mine, other = scope.value, next(each.value for each in Scope if each is not scope)
        good = self._tokens[mine]
        return {
            "none": ((), UNAUTHENTICATED),
            "wrong": ((f"Bearer {self._tokens['wrong']}",), UNAUTHENTICATED),
            "empty": (("",), UNAUTHENTICATED),
            "no scheme": ((good,), UNAUTHENTICATED),
            "no token": (("Bearer ",), UNAUTHENTICATED),
            "another scheme": ((f"Digest {good}",), UNAUTHENTICATED),
            "a bit more": ((f"Bearer {good}x",), UNAUTHENTICATED),
            "a bit less": ((f"Bearer {good[:-1]}",), UNAUTHENTICATED),
            "twice": ((f"Bearer {good}", f"Bearer {good}"), UNAUTHENTICATED),
            "its hash": ((f"Bearer {self.digest(mine)}",), UNAUTHENTICATED),
            "very long": (("Bearer " + "x" * 5000,), UNAUTHENTICATED),
            "revoked": ((f"Bearer {self._tokens['gone']}",), UNAUTHENTICATED),
            "expired": ((f"Bearer {self._tokens['late']}",), UNAUTHENTICATED),
            "of the other scope": ((f"Bearer {self._tokens[other]}",), PERMISSION_DENIED),
            "valid": ((f"Bearer {good}",), IN),
            "valid, in capitals": ((f"BEARER {good}",), IN),
        }

    def digest(self, name: str) -> str:
        return self._entries[name].split('sha256 = "')[1].split('"')[0]


def grpc_door(served: Serving) -> Door:
    """The gRPC port: every method that there is, and some that are not."""

    def knock(target: str, authorization: Sequence[str]) -> str:
        with grpc.insecure_channel(served.address) as channel:
            # On the wire a call of any kind is a stream either way.
            call = channel.stream_stream(target)(
                iter([b""]), timeout=5, metadata=[("authorization", value) for value in authorization]
            )
            try:
                next(call, None)
            except grpc.RpcError as failure:
                return failure.code().name if failure.code().name in (UNAUTHENTICATED, PERMISSION_DENIED) else IN
            finally:
                call.cancel()
        return IN

    targets = [
        *(method.path for method in wire.METHODS),
        *(f"/{INFERENCE_SERVICE}/{name}" for name in ("ServerLive", "ServerReady", "ModelReady", "ModelMetadata")),
        HEALTH_CHECK,
        "/grpc.health.v1.Health/Watch",
        "/grpc.health.v1.Health/List",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        f"/{wire.SERVICE}/NoSuchMethod",
        "/no.such.Service/Method",
        "/grpc.health.v1.Health/Check/",
        "/GRPC.health.v1.Health/Check",
    ]
    return Door("grpc", Scope.GUARD, targets, frozenset((HEALTH_CHECK,)), knock)


def admin_door(served: Serving) -> Door:
    """The admin port."""

    def knock(target: str, authorization: Sequence[str]) -> str:
        return _knock(served.admin_url, target, authorization)

    pages = ["GET /metrics", "HEAD /metrics", "GET /engine/metrics", "POST /metrics", "OPTIONS /metrics", "PUT /"]
    odd = ["GET /", "GET /nowhere", "GET //healthz", "GET /healthz/", "GET /healthz/../metrics", "GET /HEALTHZ"]
    probes = ["GET /healthz", "GET /readyz"]
    return Door("admin", Scope.ADMIN, [*pages, *odd, *probes], frozenset(probes), knock)


def http_door(served: Serving) -> Door:
    """The OpenAI-compatible port."""

    def knock(target: str, authorization: Sequence[str]) -> str:
        return _knock(served.http_url, target, authorization)

    pages = ["POST /v1/chat/completions", "GET /v1/models", "GET /v1/models/scripted", "HEAD /v1/models"]
    odd = ["GET /v1/chat/completions", "OPTIONS /v1/models", "GET /", "GET /healthz", "GET /metrics", "GET //v1/models"]
    return Door("http", Scope.GUARD, [*pages, *odd], frozenset(), knock)


def _knock(url: str, target: str, authorization: Sequence[str]) -> str:
    method, _, path = target.partition(" ")
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.putrequest(method, path)
        for value in authorization:
            connection.putheader("authorization", value)
        connection.endheaders()
        answer = connection.getresponse()
        challenged = answer.getheader("www-authenticate") is not None
        assert challenged == (answer.status == 401)
        return {401: UNAUTHENTICATED, 403: PERMISSION_DENIED}.get(answer.status, IN)
    finally:
        connection.close()


def basic(token: str) -> str:
    """The header a browser sends for a password."""
    return "Basic " + base64.b64encode(f"anyone:{token}".encode()).decode()


DOORS: Sequence[Callable[[Serving], Door]] = (grpc_door, admin_door, http_door)


def walk(served: Serving, keys: Keys, doors: Sequence[Callable[[Serving], Door]] = DOORS) -> list[Attempt]:
    """Try everything. The token that is revoked is seen to work before."""
    made = [door(served) for door in doors]
    gone = (f"Bearer {keys.token('gone')}",)
    attempts = [
        Attempt(door.name, door.targets[0], "before it is revoked", IN, door.knock(door.targets[0], gone))
        for door in made
    ]
    keys.write(without="gone")
    for door in made:
        for target in door.targets:
            for name, (authorization, expected) in keys.credentials(door.scope).items():
                wanted = IN if target in door.open else expected
                attempts.append(Attempt(door.name, target, name, wanted, door.knock(target, authorization)))
    return attempts


@contextmanager
def guarded(**settings: object) -> Iterator[tuple[Serving, Keys]]:
    """A server that asks for tokens, and the tokens."""
    with tempfile.TemporaryDirectory() as folder:
        keys = Keys(Path(folder))
        with serving(tokens=keys.file, http_port=0, **settings) as served:
            yield served, keys


def main() -> int:
    """Walk once, print what is not as it should be, and how many attempts there were."""
    with guarded() as (served, keys):
        attempts = walk(served, keys)
    for attempt in attempts:
        if attempt.got != attempt.expected:
            print(attempt)
    print(f"{len(attempts)} attempts, {sum(attempt.bypass for attempt in attempts)} bypasses")
    return int(any(attempt.got != attempt.expected for attempt in attempts))


if __name__ == "__main__":
    sys.exit(main())
