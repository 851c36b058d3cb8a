"""When to stop: a deadline and a cancel switch that long work looks at between its steps.

Knows nothing of threads, servers or models; the code that steps calls `Stop.check()`.
"""

from __future__ import annotations

import time

from xmguard.errors import Cancelled, DeadlineExceeded


class Stop:
    """A cancel switch with an optional deadline. Safe to share between threads."""

    def __init__(self, timeout: float | None = None) -> None:
        """`timeout` is in seconds from now; None means no deadline."""
        self._cancelled = False
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._cancelled = True

    def remaining(self) -> float | None:
        """Seconds left, never negative; None without a deadline."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        """Do nothing, or raise.

        Raises:
            Cancelled: after `cancel()`.
            DeadlineExceeded: once the deadline has passed.
        """
        if self._cancelled:
            raise Cancelled("the caller cancelled the request")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise DeadlineExceeded("the deadline passed before the work was done")
