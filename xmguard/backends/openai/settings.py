"""How an API is asked, apart from what."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from xmguard.errors import FieldViolation, InvalidRequest

KEY_VARIABLE = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
DEFAULT_URL = "https://api.openai.com/v1"
OURS = frozenset(
    (
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "seed",
        "stream",
        "stream_options",
        "temperature",
        "top_logprobs",
    )
)
"""Fields of a request that are not for `Settings.request` to set."""


@dataclass(frozen=True)
class Settings:
    """How an API is asked; the fields are the engine's options.

    Raises:
        InvalidRequest: with everything that is wrong.
    """

    base_url: str = ""
    """Up to and with `/v1`. Empty: that of the environment variable `OPENAI_BASE_URL`, or OpenAI's own."""
    timeout: float = 60.0
    """Seconds without a word, at each attempt."""
    retries: int = 2
    """Further attempts after the first, of calls that may succeed when they are made again."""
    concurrency: int = 8
    """Requests that are answered at once; each makes a call for every span and one for the joint answer."""
    parallel: int = 16
    """Calls at a time, over all requests."""
    context_length: int = 0
    """Tokens of prompt and answer together; 0: as the API tells, if it does."""
    pictures: bool = False
    """Whether the model reads pictures."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """More fields of every call, for example `{"reasoning_effort": "none"}`."""

    @staticmethod
    def read(options: Mapping[str, Any]) -> Settings:
        """From options by name, as they come from a command line.

        Raises:
            InvalidRequest: there is no such option, or it has another type; or what the constructor says.
        """
        known = {one.name: type(getattr(_DEFAULTS, one.name)) for one in fields(Settings)}
        wrong = []
        for name, value in options.items():
            kind = known.get(name)
            if kind is None:
                wrong.append(FieldViolation(name, f"is no option of the openai engine; it has {', '.join(known)}"))
            elif type(value) is not kind and not (kind is float and type(value) is int):
                wrong.append(FieldViolation(name, f"is {value!r}; {_NOUNS[kind]} is wanted"))
        if wrong:
            raise InvalidRequest(wrong)
        return Settings(**options)

    def __post_init__(self) -> None:
        if not self.base_url:
            object.__setattr__(self, "base_url", os.environ.get(URL_VARIABLE) or DEFAULT_URL)
        parts = urlsplit(self.base_url)
        wrong = [
            FieldViolation(name, fault)
            for name, fault, found in (
                (
                    "base_url",
                    "must be http:// or https://, a host, and the path up to /v1",
                    parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment,
                ),
                ("base_url", f"must hold no name or password; the key is {KEY_VARIABLE}'s", parts.username is not None),
                ("timeout", "must be more than 0 seconds", not self.timeout > 0),
                ("retries", "must not be negative", self.retries < 0),
                ("concurrency", "must be at least 1", self.concurrency < 1),
                ("parallel", "must be at least 1", self.parallel < 1),
                ("context_length", "must not be negative", self.context_length < 0),
                ("request", f"{', '.join(sorted(OURS))} are not for it", OURS & set(self.request)),
            )
            if found
        ]
        if wrong:
            raise InvalidRequest(wrong)


_DEFAULTS = Settings(base_url=DEFAULT_URL)
_NOUNS = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    str: "a text",
}
