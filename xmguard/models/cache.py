"""Where converted models are kept between runs. Knows only folders, not what lies in them."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = "XMGUARD_CACHE"
"""Environment variable that names the cache folder."""


def cache_folder() -> Path:
    """`$XMGUARD_CACHE`, else the platform's user cache as the XDG base directory specification places it.

    The environment is read on every call, so that importing this module decides nothing. The folder may not exist.
    """
    if chosen := os.environ.get(CACHE):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    # The specification has relative paths ignored.
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return root / "xmguard"


def models_folder() -> Path:
    """The part of the cache that holds one folder per converted model."""
    return cache_folder() / "models"
