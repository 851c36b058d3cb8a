"""xmguard: asks a foundation model over several sources, and says whether they contradict each other.

The front door. Importing it loads neither torch nor grpc; the names below load what they need when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "AnswerRequest": "xmguard.request",
    "AnswerResponse": "xmguard.response",
    "AsyncClient": "xmguard.client",
    "CheckResponse": "xmguard.response",
    "Client": "xmguard.client",
    "ConflictVerdict": "xmguard.response",
    "Decision": "xmguard.response",
    "Decoding": "xmguard.request",
    "Delta": "xmguard.response",
    "Detail": "xmguard.request",
    "Done": "xmguard.response",
    "Guard": "xmguard.guard",
    "Media": "xmguard.span",
    "OnConflict": "xmguard.request",
    "OnError": "xmguard.request",
    "Prompt": "xmguard.request",
    "Rebalance": "xmguard.request",
    "Restarted": "xmguard.client",
    "Retries": "xmguard.client",
    "Scope": "xmguard.request",
    "Span": "xmguard.span",
    "SpanReport": "xmguard.response",
    "Started": "xmguard.response",
    "Status": "xmguard.response",
    "Tls": "xmguard.client",
    "XmguardError": "xmguard.errors",
    "hookimpl": "xmguard.hookspecs",
    "load_guard": "xmguard.loading",
    "load_plugins": "xmguard.plugins",
}

__all__ = [
    "AnswerRequest",
    "AnswerResponse",
    "AsyncClient",
    "CheckResponse",
    "Client",
    "ConflictVerdict",
    "Decision",
    "Decoding",
    "Delta",
    "Detail",
    "Done",
    "Guard",
    "Media",
    "OnConflict",
    "OnError",
    "Prompt",
    "Rebalance",
    "Restarted",
    "Retries",
    "Scope",
    "Span",
    "SpanReport",
    "Started",
    "Status",
    "Tls",
    "XmguardError",
    "hookimpl",
    "load_guard",
    "load_plugins",
]

if TYPE_CHECKING:
    from xmguard.client import AsyncClient, Client, Restarted, Retries, Tls
    from xmguard.errors import XmguardError
    from xmguard.guard import Guard
    from xmguard.hookspecs import hookimpl
    from xmguard.loading import load_guard
    from xmguard.plugins import load_plugins
    from xmguard.request import AnswerRequest, Decoding, Detail, OnConflict, OnError, Prompt, Rebalance, Scope
    from xmguard.response import (
        AnswerResponse,
        CheckResponse,
        ConflictVerdict,
        Decision,
        Delta,
        Done,
        SpanReport,
        Started,
        Status,
    )
    from xmguard.span import Media, Span


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'xmguard' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
