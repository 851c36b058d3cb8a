"""How unevenly the last requests used their spans, for the chart of the live page. Numbers only, kept in memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from xmguard.contracts import GuardEvent

KEPT = 50


class Recent:
    """An observer (`xmguard.contracts.Observer`) of finished requests. Told of them on any thread."""

    name = "recent"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def observe(self, event: GuardEvent) -> None:
        """A request was answered or checked. Of it no text is kept: ids of spans are the caller's words too."""
        response, imbalance = event.response, event.response.imbalance
        request = {
            "endedAt": time.time(),
            "spans": len(response.spans),
            "probability": response.verdict.probability,
            "logRatioBefore": imbalance.log_ratio_before,
            "logRatioAfter": imbalance.log_ratio_after,
            "logRatioPerTokenBefore": imbalance.log_ratio_per_token_before,
            "logRatioPerTokenAfter": imbalance.log_ratio_per_token_after,
        }
        with self._lock:
            self._requests.append(request)

    def requests(self) -> list[dict[str, Any]]:
        """The last of them, oldest first: when each ended (Unix time), nats, and null for what is not known."""
        with self._lock:
            return list(self._requests)
