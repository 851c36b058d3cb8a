"""What passes between the front and a worker: messages, each in one frame, over one stream socket.

A message carries a few fields as JSON and, beside them, bytes that are passed through as they are: a request or a
response of the contract, which only `xmguard.wire` reads. Nothing that a worker sends is ever unpickled. Does no
input or output itself: the worker reads and writes with threads, the front with asyncio.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from xmguard.errors import ErrorCode, FieldViolation, Reason, XmguardError
from xmguard.wire import as_raised

_HEAD = struct.Struct("!IIBQ")
"""Bytes of the fields, bytes of the body, kind, call."""


class Kind(IntEnum):
    """What a message is; the first group goes to a worker, the second comes from it."""

    PREPARE = 1
    """A call: validate and encode the request in the body, and say what it costs. If that is `within` what is said,
    run it at once."""
    RUN = 2
    """The call is admitted: run it once it is prepared."""
    CANCEL = 3
    """Nobody waits for the call any more."""
    STOP = 4
    """Cancel everything, close the guard and end."""
    ASK_PAGE = 5
    """Tell the engine's own metrics."""

    PROGRESS = 10
    """A step of loading, in words."""
    READY = 11
    """The guard is loaded; the body is what it says of itself."""
    BROKEN = 12
    """The guard cannot be loaded, or its engine failed: nothing more is answered."""
    BEAT = 13
    """The worker's threads get their turns; how old the oldest step is that runs."""
    PREPARED = 14
    """What the call costs."""
    RESPONSE = 15
    """One response of the call, in the body; more follow."""
    LAST = 16
    """The last response of the call, and what observers are to hear of it. The call is over."""
    ERROR = 17
    """The call is over without an answer."""
    PAGE = 18
    """The engine's own metrics in the body, if it has any."""


class Message(NamedTuple):
    """One message of the link."""

    kind: Kind
    call: int = 0
    """Number of the call that it is about; 0 for the worker itself."""
    fields: Mapping[str, Any] = {}
    body: bytes = b""

    def pack(self) -> bytes:
        """The message's frame."""
        fields = json.dumps(self.fields).encode() if self.fields else b""
        return _HEAD.pack(len(fields), len(self.body), self.kind, self.call) + fields + self.body


class Frames:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are complete with these bytes."""
        self._held += data
        while len(self._held) >= _HEAD.size:
            fields, body, kind, call = _HEAD.unpack_from(self._held)
            start, end = _HEAD.size + fields, _HEAD.size + fields + body
            if len(self._held) < end:
                return
            told = json.loads(self._held[_HEAD.size : start]) if fields else {}
            message = Message(Kind(kind), call, told, bytes(memoryview(self._held)[start:end]))
            del self._held[:end]
            yield message


def error_fields(error: XmguardError) -> dict[str, Any]:
    """An error as fields of a message, with nothing cut."""
    return {
        "message": str(error),
        "code": error.code.value,
        "reason": error.reason.value,
        "violations": [(violation.field, violation.description) for violation in error.violations],
        "retry_after": error.retry_after,
    }


def error_of(fields: Mapping[str, Any]) -> XmguardError:
    """The error that such fields tell of."""
    return as_raised(
        fields["message"],
        code=ErrorCode(fields["code"]),
        reason=Reason(fields["reason"]),
        violations=[FieldViolation(*violation) for violation in fields["violations"]],
        retry_after=fields["retry_after"],
    )
