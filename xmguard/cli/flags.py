"""From flags and files to a request, and the files that flags name.

Checks only what a flag means; `xmguard.validation` judges the request.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from xmguard.errors import ErrorCode, InvalidRequest, Reason, XmguardError
from xmguard.span import Span

_LANGUAGE = re.compile(r"(?P<language>(?:[a-z]{2,3}(?:-[A-Za-z0-9]{1,8})*)?):(?P<rest>.*)", re.DOTALL)


def parse_spans(texts: Sequence[str], files: Sequence[str]) -> tuple[Span, ...]:
    """Spans from `--span LANGUAGE:TEXT` and then `--span-file LANGUAGE:PATH`; an empty language is detected."""
    spans = []
    for value in texts:
        language, text = _split("--span", value, "TEXT")
        spans.append(Span(text=text, language=language))
    for value in files:
        language, path = _split("--span-file", value, "PATH")
        spans.append(Span(text=read_text(path), language=language, source=Path(path).name))
    return tuple(spans)


def _split(flag: str, value: str, what: str) -> tuple[str, str]:
    match = _LANGUAGE.fullmatch(value)
    if match is None:
        start = value if len(value) <= 24 else value[:24] + "..."
        raise InvalidRequest.field(
            flag, f"{start!r} names no language; write en:{what}, or :{what} to have the language detected"
        )
    return match["language"], match["rest"]


def parse_numbers(flag: str, pairs: Sequence[str]) -> dict[str, float]:
    """`NAME=NUMBER` pairs; `-inf` is a number."""
    numbers = {}
    for pair in pairs:
        name, separator, text = pair.rpartition("=")
        try:
            value = float(text)
        except ValueError:
            value = None
        if not separator or not name or value is None:
            raise InvalidRequest.field(flag, f"{pair!r} is not NAME=NUMBER, for example s2=1.5 or s1=-inf")
        if name in numbers:
            raise InvalidRequest.field(flag, f"{name!r} is given twice")
        numbers[name] = value
    return numbers


def read_text(path: str) -> str:
    """A UTF-8 file, or stdin for `-`.

    Raises:
        XmguardError: it cannot be read, or is not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not UTF-8 at byte {error.start}") from error


def refuse_unwritable(flag: str, path: str) -> None:
    """Open a file for writing and leave everything as it was, before minutes are spent on what is to go there.

    Raises:
        InvalidRequest: it cannot be written.
    """
    try:
        try:
            with Path(path).open("xb"):
                pass
            Path(path).unlink()
        except FileExistsError:
            with Path(path).open("ab"):
                pass
    except OSError as error:
        raise _unwritable(flag, path, error) from error


def write_bytes(flag: str, path: str, data: bytes) -> None:
    """Write a file, replacing what was there.

    Raises:
        InvalidRequest: it cannot be written.
    """
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise _unwritable(flag, path, error) from error


def _unwritable(flag: str, path: str, error: OSError) -> InvalidRequest:
    return InvalidRequest.field(flag, f"{path} cannot be written: {error.strerror or error}")


def _unreadable(path: str, why: str) -> XmguardError:
    name = "stdin" if path == "-" else path
    return XmguardError(f"{name} cannot be read: {why}", code=ErrorCode.INVALID_ARGUMENT, reason=Reason.REQUEST_INVALID)
