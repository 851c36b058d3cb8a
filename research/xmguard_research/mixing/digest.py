"""What files hold, to the byte."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256(*files: Path) -> str:
    """SHA-256 of the files' bytes, one file after another."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
