"""Logs as one JSON object per line on stderr, where collectors expect them. How a start failed is not among them.

They hold nothing of a request. What xmguard writes itself says none of it; but the words of an exception, and whatever
a library or a plugin writes, may quote what it was given. So of an exception only its kind and the lines of code it
came through are told, and of a line that others wrote only where. `--log-tracebacks` tells all, for who may read texts.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import Any

_OURS = frozenset(("xmguard", "xmguard_server"))
_JSON = json.JSONEncoder(ensure_ascii=False)
_WITHHELD = "withheld, it may quote a request; --log-tracebacks shows it"

logger = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """A record as one line; the fields of a `fields` attribute stand beside the message."""

    def __init__(self, *, quoting: bool = False) -> None:
        """`quoting`: whether the words of exceptions, and lines that others write, are told too."""
        super().__init__()
        self._quoting = quoting

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        told = self._quoting or record.name.split(".")[0] in _OURS
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage() if told else _WITHHELD,
        }
        if not told:
            line["written_at"] = f"{record.pathname}:{record.lineno}"
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            full = self._quoting
            line["traceback"] = self.formatException(record.exc_info) if full else without_words(record.exc_info[1])
        return _JSON.encode(line)


def without_words(error: BaseException) -> str:
    """A traceback as Python writes it, each exception by its kind alone. What it groups is left out."""
    told, chain = [], [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    for each in reversed(chain):
        told += ["Traceback (most recent call last):\n", *traceback.format_tb(each.__traceback__)]
        told.append(f"{type(each).__module__}.{type(each).__qualname__}: {_WITHHELD}\n")
    return "\n".join("".join(told).splitlines())


def log_to_stderr(level: int = logging.INFO, *, quoting: bool = False) -> None:
    """Send every log of this process to stderr as JSON lines, and what Python itself would write there."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(quoting=quoting))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed
    sys.unraisablehook = _unraisable


def _thread_failed(failure: Any) -> None:
    if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
        logger.error("a thread ended with an error", exc_info=failure.exc_value)


def _unraisable(failure: Any) -> None:
    if failure.exc_value is not None:
        logger.error("an error could not be raised", exc_info=failure.exc_value)
