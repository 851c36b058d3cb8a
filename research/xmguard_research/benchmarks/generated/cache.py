"""What an endpoint answered, kept in a file as it comes: JSON lines that are only appended to.

A run that was killed goes on with what is there; of a line that was being written, what is there is dropped. Knows no
protocol.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from xmguard.errors import InvalidRequest


@dataclass(frozen=True)
class Reply:
    """One answer of an endpoint."""

    key: str
    """Of the request: see `key_of`."""
    text: str
    """Of a picture the name of its file."""
    malformed: str
    """Why there is no text, if there is none."""
    tokens_in: int
    tokens_out: int
    refused: bool = False
    """Whether the provider will not answer this request, whatever is done; `malformed` says why."""


def key_of(request: Any) -> str:
    """SHA-256 of a request, which is anything that JSON can write."""
    return sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Cache:
    """Replies by key. Thread-safe; one process at a time."""

    def __init__(self, path: Path) -> None:
        """Read what is there, or begin anew.

        Raises:
            InvalidRequest: another process has the file open, or a line is no reply.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise InvalidRequest.field("cache", f"{path} is in use by another run; wait for it") from error
        self._lock = Lock()
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        try:
            rows = [Reply(**json.loads(line)) for line in content[:whole].splitlines()]
        except (ValueError, TypeError) as error:
            self._file.close()
            raise InvalidRequest.field(
                "cache", f"{path} holds what is no reply: {error}; choose another file"
            ) from error
        os.ftruncate(self._file.fileno(), whole)
        self._replies = {row.key: row for row in rows}

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, key: str) -> Reply | None:
        """The reply to a request, if there was one."""
        return self._replies.get(key)

    def put(self, reply: Reply) -> None:
        """Keep a reply. It has left this process when this returns."""
        written = json.dumps(asdict(reply), separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._file.write(written)
            self._file.flush()
            self._replies[reply.key] = reply

    def close(self) -> None:
        """Let others have the file."""
        self._file.close()
