"""SHA-256 of what is loaded: a model's folder, a plugin's code. Reads bytes; imports nothing of what it looks at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from xmguard.errors import InvalidRequest

_BLOCK = 1 << 22
_LENGTH = 64


def of_files(files: Iterable[tuple[str, Path]]) -> str:
    """One hash of several files and the names they are known by, whatever order they come in; hexadecimal.

    Raises:
        OSError: one cannot be read.
    """
    whole = hashlib.sha256()
    for name, path in sorted(files):
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        whole.update(f"{digest.hexdigest()}  {name}\n".encode())
    return whole.hexdigest()


def of_package(folder: Path) -> str:
    """The hash of a Python package's files; what Python compiles them to does not count."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return of_files((path.relative_to(folder).as_posix(), path) for path in files)


def checked(text: str, field: str) -> str:
    """A hash as somebody wrote it, in lower case. Raises InvalidRequest where it is none."""
    plain = text.strip().lower().removeprefix("sha256:")
    if len(plain) != _LENGTH or set(plain) - set("0123456789abcdef"):
        raise InvalidRequest.field(field, f"{text!r} is no SHA-256; it has {_LENGTH} hexadecimal digits")
    return plain
