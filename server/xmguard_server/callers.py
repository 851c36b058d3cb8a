"""Who made the gRPC call being handled, for the log and for limits per caller. Never a metric's label.

Knows nothing of how a caller shows who it is.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

CALLER: ContextVar[str] = ContextVar("caller", default="")
"""Name of the call's token; in a handler also the one in its certificate. Empty where neither was asked for."""

_SUBJECT_NAMES = ("x509_subject_alternative_name", "x509_common_name")


def caller(context: Any) -> str:
    """The name of the call's token, else the one in its certificate, else empty.

    `context` is the call's grpc.aio.ServicerContext.
    """
    if name := CALLER.get():
        return name
    said = context.auth_context()
    return next((text(value) for key in _SUBJECT_NAMES for value in said.get(key, ())), "")


def text(value: str | bytes) -> str:
    """A metadata entry or a certificate's name as text."""
    return value if isinstance(value, str) else value.decode(errors="replace")
