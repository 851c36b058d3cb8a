"""How a server runs. Plain data: nothing is read from files or the environment here."""

from __future__ import annotations

from dataclasses import dataclass

from xmguard.response import Limits


@dataclass(frozen=True)
class ServerConfig:
    """Settings of one server process; every time is in seconds."""

    host: str = "127.0.0.1"
    """Address that both ports listen on. There is no authentication: anything but loopback is open to the network."""
    port: int = 50051
    """gRPC; 0 takes any free port."""
    metrics_port: int = 9464
    """Prometheus over HTTP; 0 takes any free port."""
    max_queue: int = 32
    """Requests that may wait for the model; one more is refused."""
    default_deadline: float = 60.0
    """For callers that set none."""
    max_deadline: float = 300.0
    """Cap on what callers set; `xmguard --server` waits this long too."""
    restarts: bool = False
    """Whether a model whose engine fails is loaded again; else the server ends, for whoever watches it to restart."""
    grace: float = 45.0
    """How long a stopping server lets requests in flight finish."""
    max_message_bytes: int = Limits().max_message_bytes
