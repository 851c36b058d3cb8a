"""Files that decide who may come in: whether one has changed, and whether others could change it.

Knows nothing of what is in them.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from xmguard.errors import SetupIncomplete


@dataclass(frozen=True)
class Fingerprint:
    """What tells one state of a file from another, as far as its file system does."""

    changed: float
    """Seconds since the epoch."""
    identity: tuple[int, ...]


def fingerprint(path: Path) -> Fingerprint | None:
    """Of a file, through symbolic links; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    changed = max(found.st_mtime, found.st_ctime)
    return Fingerprint(changed, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


def refuse_writable_by_others(path: Path, what: str) -> None:
    """Refuse a file that somebody else than this process's user or root could have written.

    Reading is left to the operator: orchestrators mount secrets as files that every user inside a container can read.

    Raises:
        SetupIncomplete: it is not there, or others can write it.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise SetupIncomplete(f"{what} file {path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise SetupIncomplete(f"{what} file {path} is not a regular file")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SetupIncomplete(f"{what} file {path} can be written by others; run: chmod go-w {path}")
    if found.st_uid not in (0, os.geteuid()):
        raise SetupIncomplete(f"{what} file {path} belongs to another user; it must be root's or this server's user's")
