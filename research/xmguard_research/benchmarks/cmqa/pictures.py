"""A scene as a small PNG file. Knows no question."""

from __future__ import annotations

from functools import lru_cache

from xmguard_research.benchmarks.pictures import small
from xmguard_research.scenes import Scene, draw

PIXELS = 224
"""Width and height."""
_KEPT = 16
"""Pictures of the same triple follow each other."""


@lru_cache(maxsize=_KEPT)
def png(scene: Scene, style: str) -> bytes:
    """The scene in an art style.

    Raises:
        InvalidRequest: there is no such style.
        SetupIncomplete: its art is not on this machine; the message names the command that fetches it.
    """
    return small(draw(scene, style=style, size=PIXELS))
