"""JSON lines in a file, and their SHA-256: of exactly the bytes that are written. Knows no suite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any


def write(lines: Iterable[bytes], path: Path) -> tuple[int, str]:
    """Write lines, each with its line feed; their number and the file's SHA-256.

    A file that is there is replaced once all lines are written, not before.
    """
    part = path.with_name(path.name + ".part")
    count, digest = 0, sha256()
    with part.open("wb") as file:
        for written in lines:
            file.write(written)
            digest.update(written)
            count += 1
    part.replace(path)
    return count, digest.hexdigest()


def line(row: Mapping[str, Any]) -> bytes:
    """JSON with its line feed."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def digest(lines: Iterable[bytes]) -> str:
    """SHA-256 of the lines, in order."""
    total = sha256()
    for one in lines:
        total.update(one)
    return total.hexdigest()
