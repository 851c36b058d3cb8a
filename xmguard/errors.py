"""Every error a caller can meet: what went wrong, which field, and what to do.

Knows no transport: `ErrorCode` carries the canonical status *names*, and only the server maps them to gRPC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

MAX_QUOTED = 80
"""Characters of a name of the caller's own that an error repeats."""
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ErrorCode(Enum):
    """Canonical status of an error, named as google.rpc.Code names it."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    INTERNAL = "INTERNAL"


class Reason(Enum):
    """Why, as a closed set: it becomes `ErrorInfo.reason` and the label of the rejection metric."""

    REQUEST_INVALID = "REQUEST_INVALID"
    REQUEST_MALFORMED = "REQUEST_MALFORMED"
    PROMPT_TOO_LONG = "PROMPT_TOO_LONG"
    MODALITY_NOT_SUPPORTED = "MODALITY_NOT_SUPPORTED"
    MODEL_LOADING = "MODEL_LOADING"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    MODEL_REFUSED = "MODEL_REFUSED"
    PLUGIN_FAILED = "PLUGIN_FAILED"
    SETUP_INCOMPLETE = "SETUP_INCOMPLETE"
    ENGINE_FAILED = "ENGINE_FAILED"
    QUEUE_FULL = "QUEUE_FULL"
    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
    CALLER_LIMIT = "CALLER_LIMIT"
    REQUEST_TOO_LARGE = "REQUEST_TOO_LARGE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    WORKER_LOST = "WORKER_LOST"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    SERVER_UNREACHABLE = "SERVER_UNREACHABLE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True)
class FieldViolation:
    """One thing wrong with one field of a request."""

    field: str
    """Path in the contract's names, for example `spans[2].text` or `rebalance.bias["s1"]`."""
    description: str
    """What is wrong and what would be right."""


def quoted(name: str) -> str:
    """A name that a caller made up, as JSON writes it, and no more of it than its beginning: `"gpt"`."""
    beginning = name if len(name) <= MAX_QUOTED else f"{name[:MAX_QUOTED]}…"
    # Half of a surrogate pair, which JSON can hold, is in no encoding; JSON's escape for it is.
    return json.dumps(beginning, ensure_ascii=False).encode(errors="backslashreplace").decode()


def keyed(field: str, key: str) -> str:
    """Path of a map's entry, the key quoted: `rebalance.bias["s1"]`."""
    return f"{field}[{quoted(key)}]"


def member(path: str, name: str) -> str:
    """Path of a field that a caller made up: `spans[0].txt`, and quoted where it is no name: `spans[0]["my text"]`."""
    if len(name) > MAX_QUOTED or not _PLAIN_NAME.fullmatch(name):
        return keyed(path, name)
    return f"{path}.{name}" if path else name


class XmguardError(Exception):
    """Base of every error that xmguard raises on purpose.

    `str(error)` is one line for a person; `code`, `reason`, `violations` and `retry_after` are for programs.
    """

    code: ErrorCode = ErrorCode.INTERNAL
    reason: Reason = Reason.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        reason: Reason | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        """`retry_after`: seconds after which asking again makes sense; None when it does not."""
        super().__init__(message)
        if code is not None:
            self.code = code
        if reason is not None:
            self.reason = reason
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.request_id = ""
        """What the server's log has the failed call under; empty where no server was asked."""


class InvalidRequest(XmguardError):
    """The request cannot be answered as it is; all violations found are listed, not only the first."""

    code = ErrorCode.INVALID_ARGUMENT
    reason = Reason.REQUEST_INVALID

    def __init__(self, violations: Sequence[FieldViolation], *, reason: Reason | None = None) -> None:
        message = "; ".join(f"{v.field}: {v.description}" for v in violations)
        super().__init__(message, reason=reason, violations=violations)

    @classmethod
    def field(cls, field: str, description: str, *, reason: Reason | None = None) -> InvalidRequest:
        """The error for a single field."""
        return cls([FieldViolation(field, description)], reason=reason)


class ModalityNotSupported(XmguardError):
    """The request holds spans that the served model cannot read. `violations` names each, and models that can."""

    code = ErrorCode.FAILED_PRECONDITION
    reason = Reason.MODALITY_NOT_SUPPORTED


class ModelNotFound(XmguardError):
    """The request or the command names a model that is not served or not on this machine."""

    code = ErrorCode.NOT_FOUND
    reason = Reason.MODEL_NOT_FOUND


class ModelRefused(XmguardError):
    """A model cannot be loaded safely or steered exactly. `reasons` holds every reason found."""

    code = ErrorCode.FAILED_PRECONDITION
    reason = Reason.MODEL_REFUSED

    def __init__(self, model: str, reasons: Sequence[str]) -> None:
        super().__init__(f"{model} is refused: " + "; ".join(reasons))
        self.reasons = tuple(reasons)


class PluginError(XmguardError):
    """A plugin does not import, collides with another, or uses a hook that does not exist. Start-up stops."""

    code = ErrorCode.FAILED_PRECONDITION
    reason = Reason.PLUGIN_FAILED


class SetupIncomplete(XmguardError):
    """Something that must be installed or fetched first is missing; the message names the command."""

    code = ErrorCode.FAILED_PRECONDITION
    reason = Reason.SETUP_INCOMPLETE


class EngineError(XmguardError):
    """What runs the model failed, refused or cannot be reached, and the whole request with it.

    The message says what to do. `code` is UNAVAILABLE where asking again may help.
    """

    code = ErrorCode.UNAVAILABLE
    reason = Reason.ENGINE_FAILED


class DeadlineExceeded(XmguardError):
    """The caller's deadline passed; the work stopped within one decoding step."""

    code = ErrorCode.DEADLINE_EXCEEDED
    reason = Reason.DEADLINE_EXCEEDED


class Cancelled(XmguardError):
    """The caller went away; the work stopped within one decoding step."""

    code = ErrorCode.CANCELLED
    reason = Reason.CANCELLED
