"""What a failed call means, and what to do about it. Whatever the API says is told, but never the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import openai

from xmguard.backends.openai.replies import Malformed
from xmguard.backends.openai.settings import KEY_VARIABLE
from xmguard.errors import EngineError, ErrorCode, InvalidRequest, Reason, XmguardError

AGAIN = frozenset((408, 409, 429, 500, 502, 503, 504, 529))
"""Statuses of calls that may succeed when they are made again."""
SPENT = "insufficient_quota"
"""Code of a 429 that no waiting mends."""
TOO_LONG = ("context length", "context_length", "maximum context", "context window", "prompt is too long")
FILTERS = ("content_filter", "content_policy_violation", "moderation_blocked")
MAX_AFTER = 365 * 86_400.0
"""Seconds; a server that asks for longer has said no time."""
MAX_SAID = 300
"""Characters of what an API says that are told."""


class Failures:
    """Words for the failures of one endpoint."""

    def __init__(self, base_url: str, model: str, key: str, timeout: float) -> None:
        self._url, self._model, self._key, self._timeout = base_url, model, key, timeout

    def told(self, error: Exception, *, begun: bool = False, served: Sequence[str] = ()) -> XmguardError:
        """The error for a caller.

        Args:
            error: what was raised.
            begun: whether something of the answer was heard.
            served: the models that the endpoint is known to serve.
        """
        status = getattr(error, "status_code", None)
        if status is not None:
            return self._status(status, error, served)
        if isinstance(error, openai.APITimeoutError):
            slow = f"{self._url} said nothing for {self._timeout:g} s; ask again, or give it more time (timeout)"
            return EngineError(slow)
        if isinstance(error, openai.APIConnectionError) and not begun:
            why = self._clean(error.__cause__ or error)
            return EngineError(f"{self._url} cannot be reached ({why}); is it running, and is base_url right?")
        if isinstance(error, Malformed | ValueError):
            wrong = f"{self._url} answered with what is no chat completion ({self._clean(error)})"
            return EngineError(f"{wrong}; does base_url lead to an API of chat completions?", code=ErrorCode.INTERNAL)
        # An error inside of a stream, or a connection that broke there.
        return EngineError(f"{self._url} broke off in the middle of an answer ({self._clean(error)}); ask again")

    def is_passing(self, error: Exception) -> bool:
        """Whether the same call may succeed a little later."""
        status = getattr(error, "status_code", None)
        if status is None:
            return not isinstance(error, Malformed | ValueError)
        return status in AGAIN and getattr(error, "code", None) != SPENT

    def cut(self) -> EngineError:
        """An answer stopped without its end."""
        return EngineError(f"{self._url} stopped in the middle of an answer without saying why; ask again")

    def filtered(self) -> EngineError:
        """An answer was withheld."""
        return EngineError(
            f"{self._url} withheld an answer of {self._model} (content_filter); its filter refuses these sources",
            code=ErrorCode.FAILED_PRECONDITION,
        )

    def reasons(self, tokens: int) -> EngineError:
        """The model thought for longer than the short answers that a check asks for."""
        return EngineError(
            f"{self._model} at {self._url} thinks for more than {tokens} tokens before it says a word, and a check "
            'asks for short answers; switch that off, for example with request={"reasoning_effort": "none"}',
            code=ErrorCode.FAILED_PRECONDITION,
        )

    def _status(self, status: int, error: Any, served: Sequence[str]) -> XmguardError:
        said = f"{status}: {self._clean(error)}"
        code = str(error.code or "")
        if status == 429 and code != SPENT:
            delay = retry_after(error.response.headers)
            when = "later" if delay is None else f"in {delay:.0f} s"
            return EngineError(
                f"{self._url} takes no more calls now ({said}); ask again {when}",
                code=ErrorCode.RESOURCE_EXHAUSTED,
                retry_after=delay,
            )
        if status in AGAIN and code != SPENT:
            return EngineError(
                f"{self._url} failed ({said}); ask again", retry_after=retry_after(error.response.headers)
            )
        if any(mark in f"{code} {error.message}".lower() for mark in TOO_LONG):
            too_long = f"hold more than {self._model} takes ({said}); send less text, or a smaller decoding.max_tokens"
            return InvalidRequest.field("spans", too_long, reason=Reason.PROMPT_TOO_LONG)
        return EngineError(
            f"{self._url} {self._refusal(status, code, served)} ({said})", code=ErrorCode.FAILED_PRECONDITION
        )

    def _refusal(self, status: int, code: str, served: Sequence[str]) -> str:
        if status == 401:
            return f"refuses the key; set {KEY_VARIABLE} to one that it takes"
        if status == 403:
            return f"does not let this key use {self._model}; use another key or model"
        if status == 404:
            known = f"serves {', '.join(served)}" if served else "has no chat completions there; base_url ends in /v1"
            return f"knows no model {self._model!r}; it {known}"
        if code == SPENT:
            return "says that the quota is used up; waiting does not help"
        if code in FILTERS:
            return "refuses what was asked; its filter takes offence at these sources"
        return "refuses the call; what it says tells what to change"

    def _clean(self, error: BaseException) -> str:
        """What an error says, on one line, without the key."""
        said = " ".join(str(getattr(error, "message", "") or error or type(error).__name__).split())
        said = said.replace(self._key, "***") if self._key else said
        return said if len(said) <= MAX_SAID else said[: MAX_SAID - 1] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait; None if it does not say, or nothing that anybody waits for."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            seconds = float(milliseconds) / 1000
        elif (after := headers.get("retry-after")) is None:
            return None
        elif after.strip().replace(".", "", 1).isdecimal():
            seconds = float(after)
        else:
            seconds = (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):  # whatever it says, it is no time
        return None
    # Infinity and NaN are numbers to Python, and no times to those whom the wait is told.
    return max(0.0, seconds) if seconds < MAX_AFTER else None
