"""How a server runs. Plain data: nothing is read from files or the environment here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xmguard.errors import SetupIncomplete
from xmguard.response import Limits


@dataclass(frozen=True)
class TlsFiles:
    """PEM files."""

    certificate: Path
    """The server's, and those between it and the authority, in this order."""
    key: Path
    client_authority: Path | None = None
    """Certificates of who may sign clients; then every client must show a certificate of theirs."""

    @property
    def all(self) -> Sequence[Path]:
        """Every file."""
        return tuple(path for path in (self.certificate, self.key, self.client_authority) if path is not None)


@dataclass(frozen=True)
class ServerConfig:
    """Settings of one server process; every time is in seconds."""

    host: str = "127.0.0.1"
    """Address that gRPC listens on. One that others can reach is refused where nobody has to say who they are."""
    port: int = 50051
    """gRPC; 0 takes any free port."""
    admin_host: str = "127.0.0.1"
    """The same for the admin port, which is of no use to those who ask the guard."""
    admin_port: int = 9464
    """Metrics, liveness and readiness over HTTP; 0 takes any free port."""
    http_port: int | None = None
    """The OpenAI-compatible API, on `host`; 0 takes any free port, None opens none."""
    ui: bool = False
    """Whether the admin port has the live page."""
    tokens: Path | None = None
    """File of the tokens that callers must send one of."""
    tls: TlsFiles | None = None
    """For every port; without it all travels in clear."""
    closed_health: bool = False
    """Whether the pages and the RPC that probes ask need a token too."""
    insecure_open_bind: bool = False
    """Whether others may reach a server that asks nobody who they are."""
    max_queue: int = 32
    """Requests that may wait for the model; one more is refused."""
    max_queue_cost: int = 4_000_000
    """Tokens of the requests that wait, counted as everything that may be run for them; no single one may have more."""
    max_queue_wait: float = 5.0
    """How long a request waits at most; who would wait longer is refused at once."""
    max_per_caller: int = 16
    """Requests of one caller that run or wait; 0 is no limit. Callers without credentials have none of their own."""
    brownout_from: float = 0.5
    """Pressure, as a share of the nearest of the three bounds above, from which requests that said ON_ERROR_OPEN are
    served without evidence; above 1 is never."""
    brownout_until: float = 0.25
    """Pressure below which they are served with evidence again."""
    default_deadline: float = 60.0
    """For callers that set none."""
    max_deadline: float = 300.0
    """Cap on what callers set; `xmguard --server` waits this long too."""
    workers: int = 1
    """Processes that each load the model and run it."""
    worker_memory: int = 0
    """Address space of a worker in bytes; 0 is no limit. What does not fit ends with RESOURCE_EXHAUSTED."""
    step_timeout: float = 120.0
    """How long one step of the model may take: a worker that takes longer hangs, and is killed."""
    max_restarts: int = 10
    """Losses of a worker in a row that are followed by another start; after one more the server ends, for whoever
    watches it to restart."""
    send_timeout: float = 30.0
    """How long a caller may leave a part of its stream untaken."""
    grace: float = 75.0
    """How long a stopping server lets requests in flight finish: more than the default deadline."""
    max_message_bytes: int = Limits().max_message_bytes

    def __post_init__(self) -> None:
        """Raise SetupIncomplete for marks in the wrong order."""
        if not 0 <= self.brownout_until <= self.brownout_from:
            raise SetupIncomplete(
                f"--brownout-until {self.brownout_until:g} is above --brownout-from {self.brownout_from:g}: at one "
                "pressure evidence would be dropped and gathered; give a smaller one"
            )
