"""The side channel: messages of a worker to the front, by a ZMQ PUSH socket, each a msgpack map with a request's `id`.

    kind "prompt":    rows, norms, masses, epsilons  once, when the last row of the prompt has been run (measured)
    kind "token":     index, entropy                 for every generated token, nats (told)
    kind "generated": rows, norms, masses, epsilons  when the request has ended, and when asked for (measured)
    kind "probe":     logits                         when the last row of the prompt has been run (adapter `probe`)
    kind "scores":    logprobs                       when the last row of the prompt has been run (scored, choices)
    kind "error":     text                           its reading could not be had; nothing it generates is to be used

Arrays are sums over `rows`, float32 bytes in the order [layer, head, segment] of `shape`, of the heads of one of
`ranks` ranks; those of rank 0 come first. Every message is sealed (`xmguard.backends.vllm.sealing`).
Knows nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xmguard.backends.vllm.sealing import sealed
from xmguard.backends.vllm.worker.sums import Totals


class Teller:
    """One worker's end of the channel. Messages arrive in order; none is dropped while both ends live."""

    def __init__(self, address: str, secret: str, rank: int, ranks: int) -> None:
        import msgspec
        import zmq

        self._encode = msgspec.msgpack.encode
        self._socket = zmq.Context.instance().socket(zmq.PUSH)
        self._socket.set_hwm(0)
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.setsockopt(zmq.IPV6, "[" in address)
        self._socket.connect(address)
        self._secret, self._rank, self._ranks = secret, rank, ranks

    def totals(self, request: str, kind: str, totals: Totals) -> None:
        """Tell what was summed over the prompt, or over what was generated."""
        norms, masses, epsilons = totals.arrays()
        told = {"rank": self._rank, "ranks": self._ranks, "shape": list(norms.shape), "rows": totals.rows}
        named = {"norms": norms, "masses": masses, "epsilons": epsilons}
        self._send(request, kind, told | {name: array.numpy().tobytes() for name, array in named.items()})

    def token(self, request: str, index: int, entropy: float) -> None:
        """Tell of a generated token; every rank knows it, the first one tells."""
        if self._rank == 0:
            self._send(request, "token", {"index": index, "entropy": entropy})

    def probe(self, request: str, logits: Sequence[float]) -> None:
        """Tell what the probe says."""
        if self._rank == 0:
            self._send(request, "probe", {"logits": list(logits)})

    def scores(self, request: str, logprobs: Sequence[float]) -> None:
        """Tell of the tokens that are scored, in their order, then of the choices."""
        if self._rank == 0:
            self._send(request, "scores", {"logprobs": list(logprobs)})

    def error(self, request: str, text: str) -> None:
        """Tell that a request's reading could not be had."""
        self._send(request, "error", {"text": text})

    def _send(self, request: str, kind: str, told: dict[str, Any]) -> None:
        self._socket.send_multipart(sealed(self._secret, self._encode({"id": request, "kind": kind, **told})))
