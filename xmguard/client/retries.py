"""When a call is made again, and how long after.

Two layers, because they see different things. gRPC itself repeats a call that came back UNAVAILABLE before anything
of an answer (gRFC A6): a server that restarts, a proxy that lost its backend; one that loads its model is left the
time it names. What a busy server says
(RESOURCE_EXHAUSTED with RetryInfo) is repeated here, after the time it asks for, as long as the caller's own time
lasts. A request whose worker was lost may be what broke it: the server ends gRPC's repeating then, and it is
made once more here. A stream that broke on the way is repeated by neither; `restarting_stream` does, and says so.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard.wire import SERVICE

log = logging.getLogger(__name__)
# Stamina warns of every retry, and what is logged in a program that configures no logging is printed on its stderr. A
# program that does configure it sees the warning as before.
logging.getLogger("stamina").addHandler(logging.NullHandler())

_GRPC_CAP = 5
"""Attempts that gRPC makes at most, whatever the service config says (gRFC A6)."""
_SHORTEST = 0.01
"""Seconds. With a backoff of 1 ms, some calls were seen to wait for their deadline instead of being repeated."""
_BUSY = frozenset((Reason.QUEUE_FULL, Reason.QUEUE_TIMEOUT, Reason.CALLER_LIMIT))
_SUSPECT = frozenset((Reason.WORKER_LOST, Reason.ENGINE_FAILED))
"""UNAVAILABLE for one of these, with a time to come back after, is tried once more and not again."""
_BROKEN = frozenset((Reason.WORKER_LOST, Reason.ENGINE_FAILED, Reason.SERVER_UNREACHABLE, Reason.SHUTTING_DOWN))
_RECONNECT_SECONDS = 0.2
"""Before a broken stream begins anew, unless the server says longer."""


@dataclass(frozen=True)
class Retries:
    """How often a call is made again. `Retries(attempts=1)` never does."""

    attempts: int = 5
    """Calls in all, the first among them. gRPC makes 5 at most of those that came back UNAVAILABLE."""
    initial_backoff: float = 0.1
    """Seconds before gRPC's second attempt, at most; doubles with each. How long it really is, is drawn each time."""
    max_backoff: float = 2.0
    """Seconds that it grows to."""
    throttle_tokens: int = 100
    """gRPC stops repeating while less than half of these are left: every failure takes one away."""
    throttle_ratio: float = 0.5
    """Tokens that a success gives back: with this one, repeating goes on while a third of all attempts fail."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts counts the first call too, so it is at least 1, not {self.attempts}")
        if self.initial_backoff < _SHORTEST:
            raise ValueError(f"initial_backoff is at least {_SHORTEST} s: gRPC may never repeat after less")

    def service_config(self) -> str:
        """GRPC's own part, as the channel takes it."""
        # Where a name has several addresses, calls are spread over them; gRPC by itself stays with the first.
        own: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
        if self.attempts > 1:
            policy = {
                "maxAttempts": min(self.attempts, _GRPC_CAP),
                "initialBackoff": f"{self.initial_backoff:g}s",
                "maxBackoff": f"{self.max_backoff:g}s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            }
            own["methodConfig"] = [{"name": [{"service": SERVICE}], "retryPolicy": policy}]
            own["retryThrottling"] = {"maxTokens": self.throttle_tokens, "tokenRatio": self.throttle_ratio}
        return json.dumps(own)


class WhenBusy:
    """For `stamina.retry_context(on=...)`: seconds to wait after an error, or False to raise it.

    For one call: it remembers whether the call was suspected of having broken a worker. Each attempt after the first
    is logged, at INFO, where it begins.
    """

    def __init__(self, call: str, attempts: int, end: float) -> None:
        """`end` is when the caller's time is up, by `time.monotonic`: what would come later is not tried.

        `call` and `attempts`, how many there are at most, are for the log.
        """
        self._call = call
        self._attempts = attempts
        self._end = end
        self._suspected = False
        self._waited: tuple[float, str] = (0.0, "")

    def __call__(self, error: Exception) -> bool | float:
        """Seconds, or False."""
        if is_suspect(error) and not self._suspected:
            self._suspected = True
            return self._in_time(error, error.retry_after or 0.0)
        if not isinstance(error, XmguardError) or error.code is not ErrorCode.RESOURCE_EXHAUSTED:
            return False
        if error.reason not in _BUSY or error.retry_after is None:
            return False
        return self._in_time(error, error.retry_after)

    def begin(self, number: int) -> None:
        """An attempt begins; the first is 1."""
        if number > 1:
            log.info("%s: attempt %d of %d, %.2f s after %s", self._call, number, self._attempts, *self._waited)

    def _in_time(self, error: XmguardError, seconds: float) -> bool | float:
        wanted = _in_time(seconds, self._end)
        self._waited = (wanted, error.reason.value)
        return wanted


def when_broken(end: float, busy: WhenBusy) -> Callable[[Exception], bool | float]:
    """The same for a stream that may begin anew: also where the server or its worker was lost on the way.

    `busy` is what its attempts have in common.
    """

    def delay(error: Exception) -> bool | float:
        if is_suspect(error):
            return busy(error)
        if isinstance(error, XmguardError) and error.code is ErrorCode.UNAVAILABLE and error.reason in _BROKEN:
            return _in_time(error.retry_after or _RECONNECT_SECONDS, end)
        return busy(error)

    return delay


def is_suspect(error: Exception) -> TypeGuard[XmguardError]:
    """Whether the request of a call may be what broke its worker."""
    return (
        isinstance(error, XmguardError)
        and error.code is ErrorCode.UNAVAILABLE
        and error.reason in _SUSPECT
        and error.retry_after is not None
    )


def _in_time(seconds: float, end: float) -> bool | float:
    # Callers that were refused at the same moment must not all come back at the same moment.
    wanted = seconds * random.uniform(1.0, 1.25)
    return wanted if time.monotonic() + wanted < end else False
