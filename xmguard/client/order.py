"""Streams that are whole: numbered without gaps and ended by Done; and what is said when one begins again."""

from __future__ import annotations

from dataclasses import dataclass

from xmguard import wire
from xmguard.errors import XmguardError
from xmguard.response import Done, Event


@dataclass(frozen=True)
class Restarted:
    """The stream broke and begins anew: forget every event before this one. Words may differ from the first time."""

    attempt: int
    """Which attempt begins now; the first restart is 2."""
    error: XmguardError
    """What broke the one before."""


class Order:
    """Checks the events of one stream."""

    def __init__(self) -> None:
        self._expected = 0
        self._done = False

    def next(self, numbered: wire.Numbered) -> Event:
        """The event. Raises XmguardError where it is not the one that is due."""
        sequence, event = numbered
        if sequence != self._expected or self._done:
            raise XmguardError(f"the stream is broken: event {sequence} came where {self._expected} was due")
        self._expected += 1
        self._done = isinstance(event, Done)
        return event

    def finish(self) -> None:
        """Raises XmguardError if the last event has not come."""
        if not self._done:
            raise XmguardError("the stream ended without its last event; the answer may be incomplete")
