"""Errors to google.rpc.Status and back, with nothing lost that fits.

The status travels in HTTP/2 trailers, which third-party clients cap at 8 KiB, so texts are cut and violations counted
rather than the whole error lost. Knows no transport.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from xmguard.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineError,
    ErrorCode,
    FieldViolation,
    InvalidRequest,
    ModalityNotSupported,
    ModelNotFound,
    PluginError,
    Reason,
    SetupIncomplete,
    XmguardError,
)

M = TypeVar("M", bound=Message)

DOMAIN = "xmguard.dev"
"""`ErrorInfo.domain` of every error that xmguard raises."""

OMITTED = "omitted_violations"
"""`ErrorInfo.metadata` key: how many field violations did not fit."""

_TEXT_BYTES = 1000
"""Cap of one text, counted percent-encoded, as the status message is on the wire."""
_STATUS_BYTES = 4500
"""Cap of the serialised status: 6,000 bytes in base64; with the message and the rest that stays under 8 KiB."""

_CLASSES: Mapping[Reason, type[XmguardError]] = {
    Reason.MODALITY_NOT_SUPPORTED: ModalityNotSupported,
    Reason.MODEL_NOT_FOUND: ModelNotFound,
    Reason.PLUGIN_FAILED: PluginError,
    Reason.SETUP_INCOMPLETE: SetupIncomplete,
    Reason.ENGINE_FAILED: EngineError,
    Reason.DEADLINE_EXCEEDED: DeadlineExceeded,
    Reason.CANCELLED: Cancelled,
}

_CODE_REASONS: Mapping[ErrorCode, Reason] = {
    ErrorCode.INVALID_ARGUMENT: Reason.REQUEST_INVALID,
    ErrorCode.RESOURCE_EXHAUSTED: Reason.REQUEST_INVALID,
    ErrorCode.UNIMPLEMENTED: Reason.SERVER_UNREACHABLE,
    ErrorCode.UNAVAILABLE: Reason.SERVER_UNREACHABLE,
    ErrorCode.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
    ErrorCode.CANCELLED: Reason.CANCELLED,
}
"""Reason of a status that came without xmguard's details: from the transport, a proxy, or another kind of server."""


def to_status(error: XmguardError) -> status_pb2.Status:
    """The status of an error.

    Texts longer than the trailers allow are cut with an ellipsis; violations that do not fit are counted in
    `ErrorInfo.metadata`.
    """
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code.value), message=clip(str(error)))
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN)
    details: list[Message] = [info]
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after * 1e9))
        details.append(retry)
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        room = _STATUS_BYTES - status.ByteSize() - 200
        for violation in error.violations:
            entry = bad_request.field_violations.add(
                field=clip(violation.field), description=clip(violation.description)
            )
            room -= entry.ByteSize() + 8
            if room < 0:
                del bad_request.field_violations[-1]
                break
        omitted = len(error.violations) - len(bad_request.field_violations)
        if omitted:
            info.metadata[OMITTED] = str(omitted)
        details.append(bad_request)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def from_status(code: str, message: str, data: bytes | None) -> XmguardError:
    """The error that a call ended with.

    `code` is the canonical name of the status code and `message` its text; `data` is the serialised status from the
    trailers, None when there was none.
    """
    status = status_pb2.Status()
    try:
        status = status_pb2.Status.FromString(data or b"")
    except DecodeError:  # whoever wrote it, the code and the message are still true
        status.Clear()
    # Codes that xmguard never sends (UNKNOWN, DATA_LOSS, ...) are somebody's internal errors.
    error_code = ErrorCode.__members__.get(code, ErrorCode.INTERNAL)
    info = next((i for i in _unpacked(status, error_details_pb2.ErrorInfo) if i.domain == DOMAIN), None)
    reason = Reason.__members__.get(info.reason) if info else None
    if reason is None:
        reason = _CODE_REASONS.get(error_code, Reason.INTERNAL)
    violations = tuple(
        FieldViolation(entry.field, entry.description)
        for bad_request in _unpacked(status, error_details_pb2.BadRequest)
        for entry in bad_request.field_violations
    )
    retry = next(
        (found.retry_delay.ToNanoseconds() / 1e9 for found in _unpacked(status, error_details_pb2.RetryInfo)), None
    )
    error = as_raised(message, code=error_code, reason=reason, violations=violations, retry_after=retry)
    omitted = info.metadata.get(OMITTED) if info else None
    if omitted and isinstance(error, InvalidRequest):
        error.args = (f"{error}; and {omitted} more",)
    return error


def as_raised(
    message: str,
    *,
    code: ErrorCode,
    reason: Reason,
    violations: Sequence[FieldViolation] = (),
    retry_after: float | None = None,
) -> XmguardError:
    """The error of the class that its reason stands for, with everything that the one raised had."""
    if code is ErrorCode.INVALID_ARGUMENT and violations:
        return InvalidRequest(violations, reason=reason)
    kind = _CLASSES.get(reason, XmguardError)
    return kind(message, code=code, reason=reason, violations=violations, retry_after=retry_after)


def clip(text: str) -> str:
    """The text, or as much of it as a trailer can take, ending in an ellipsis."""
    room = _TEXT_BYTES
    for index, character in enumerate(text):
        room -= 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode(errors="replace"))
        if room < 0:
            return text[:index].rstrip() + "…"
    return text


def _unpacked(status: status_pb2.Status, kind: type[M]) -> Iterator[M]:
    for detail in status.details:
        found = kind()
        if detail.Unpack(found):
            yield found
