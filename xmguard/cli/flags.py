"""From flags and files to a request, and the files that flags name.

Checks only what a flag means; `xmguard.validation` judges the request.
"""

from __future__ import annotations

import mimetypes
import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from xmguard.errors import ErrorCode, InvalidRequest, Reason, XmguardError
from xmguard.span import Media, Span

_LANGUAGE = re.compile(r"(?P<language>(?:[a-z]{2,3}(?:-[A-Za-z0-9]{1,8})*)?):(?P<rest>.*)", re.DOTALL)
_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), "application/pdf"),  # the start of one may be UTF-8
)
"""How files begin, and their media type; others go by their name."""


def parse_spans(texts: Sequence[str], files: Sequence[str], taken: Collection[str] = ()) -> tuple[Span, ...]:
    """Spans from `--span LANGUAGE:TEXT` and then `--span-file LANGUAGE:PATH`; an empty language is detected.

    A file that is no text becomes media, and its path needs no language before it. So does a text whose name has one of
    the media types `taken` by the plugins installed, unless a language, or the colon alone, says that it is text.
    """
    spans = []
    for value in texts:
        language, text = _split("--span", value, "TEXT")
        spans.append(Span(text=text, language=language))
    for value in files:
        match = _LANGUAGE.fullmatch(value)
        path = match["rest"] if match else value
        data = _read_bytes(path)
        named = "" if match else _named(path)
        media_type = _begins_as(data) or (named if named in taken else _not_text(path, data))
        if media_type:
            media = Media(media_type, data)
            spans.append(Span(media=media, language=match["language"] if match else "", source=Path(path).name))
        else:
            language, _ = _split("--span-file", value, "PATH")
            spans.append(Span(text=_decoded(path, data), language=language, source=Path(path).name))
    return tuple(spans)


def _begins_as(data: bytes) -> str:
    """Media type that the first bytes show; empty where they show none."""
    return next((media_type for begins, media_type in _MAGIC if begins.match(data)), "")


def _not_text(path: str, data: bytes) -> str:
    """Media type by the name of a file that is not UTF-8; empty for text, also for what is called so."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        named = _named(path)
        return "" if named.startswith("text/") else named
    return ""


def _named(path: str) -> str:
    """Media type by the name of a file; empty for none, and for one that is compressed."""
    media_type, encoding = mimetypes.guess_type(path)
    return "" if encoding or not media_type else media_type


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
    return _decoded(path, _read_bytes(path))


def _read_bytes(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def _decoded(path: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")  # editors of Windows mark UTF-8 by three bytes that are no text
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"not UTF-8 at byte {error.start}; save it as UTF-8") from error


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
