"""Which trace a call belongs to, by the W3C's `traceparent`, and what traces calls where somebody wants them traced.

Knows no tracing library: without one, the caller's trace is still told to the log and to metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from xmguard.contracts import GuardEvent

TRACEPARENT = "traceparent"
"""Name of the header and of the metadata key."""

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


@dataclass(frozen=True)
class TraceContext:
    """A place in a trace."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 of them."""
    sampled: bool
    """Whether the trace is kept."""


CURRENT: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)
"""Of the call being handled."""


class CallSpan(Protocol):
    """The span of one call."""

    def ended(self, name: str, code: str, attributes: Mapping[str, str]) -> None:
        """What was called, from a closed set; the canonical status it ended with; and what else there is to say."""


class Tracer(Protocol):
    """Traces calls. As an observer it is told of each finished request, in the context of its call."""

    name: str

    def call(self, sent: Mapping[str, str]) -> AbstractContextManager[CallSpan]:
        """The span of a call, as the current one of the task that handles it.

        `sent` are the headers or metadata of the call, as far as they are text, by lower-case name.
        """

    def observe(self, event: GuardEvent) -> None:
        """Draw the steps of a finished request."""

    def close(self) -> None:
        """Send what was not sent yet; may take seconds."""


class Untraced:
    """Draws nothing."""

    name = "untraced"

    @contextmanager
    def call(self, sent: Mapping[str, str]) -> Iterator[CallSpan]:
        """Remember the caller's trace."""
        CURRENT.set(parse(sent.get(TRACEPARENT, "")))
        yield _NoSpan()

    def observe(self, event: GuardEvent) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class _NoSpan:
    def ended(self, name: str, code: str, attributes: Mapping[str, str]) -> None:
        pass


def parse(traceparent: str) -> TraceContext | None:
    """The place that a `traceparent` names; None if it is not of the form that the W3C gives it."""
    match = _FORM.fullmatch(traceparent.strip())
    if match is None or not int(match[1], 16) or not int(match[2], 16):
        return None
    return TraceContext(match[1], match[2], bool(int(match[3], 16) & 1))
