"""One line of the log for each call: who asked, how it ended, how long it took; nothing of what was asked or answered.

While a call is handled its line is filled in from several places, each of which knows a part.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar

from xmguard.contracts import GuardEvent
from xmguard_server.trace_context import CURRENT

_LINE: ContextVar[dict[str, object] | None] = ContextVar("access_line", default=None)

logger = logging.getLogger("xmguard_server.access")


def begin() -> dict[str, object]:
    """Open the line of the call that this task handles."""
    line: dict[str, object] = {}
    _LINE.set(line)
    return line


def note(**fields: object) -> None:
    """Put fields into the line of the call being handled, if there is one."""
    line = _LINE.get()
    if line is not None:
        line.update(fields)


def write(message: str, line: dict[str, object], *, level: int = logging.INFO) -> None:
    """Write a line, with the trace that the call belongs to."""
    if current := CURRENT.get():
        line |= {"trace_id": current.trace_id, "span_id": current.span_id}
    logger.log(level, message, extra={"fields": line})


class AccessObserver:
    """Notes what a finished request took; called in the context of its call."""

    name = "access_log"

    def observe(self, event: GuardEvent) -> None:
        """Put the numbers of a finished request into its line."""
        usage = event.response.usage
        note(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            evidence_tokens=usage.evidence_tokens,
            cached_tokens=usage.cached_tokens,
            admitted_tokens=event.cost,
            verdict=event.response.verdict.decision.name,
        )
        if event.first_token_seconds is not None:
            note(first_token_seconds=round(usage.queue_seconds + event.first_token_seconds, 6))
