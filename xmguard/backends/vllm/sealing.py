"""Messages of the workers that nobody else can have written: each comes with its code under a secret of the engine's.

What reaches the front by a network may come from anyone. Knows nothing of sockets, and hides nothing of what is told.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence


def new_secret() -> str:
    """A secret for one engine, hexadecimal; told to its workers where it starts them."""
    return secrets.token_hex(32)


def sealed(secret: str, message: bytes) -> list[bytes]:
    """The frames in which a message travels: its HMAC-SHA-256, and itself."""
    return [_code(secret, message), message]


def opened(secret: str, frames: Sequence[bytes]) -> bytes | None:
    """The message in such frames; None if who sent them does not know the secret."""
    if len(frames) != 2 or not hmac.compare_digest(frames[0], _code(secret, frames[1])):
        return None
    return frames[1]


def _code(secret: str, message: bytes) -> bytes:
    return hmac.digest(secret.encode(), message, "sha256")
