"""Where converted models are kept between runs, and how one is put there. Knows only folders, not what lies in them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from xmguard.errors import ErrorCode, Reason, XmguardError

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


def silent(step: str) -> None:
    """Progress that nobody watches."""


def install(
    name: str, folder: Path, make: Callable[[Path], Path], *, space: str, progress: Callable[[str], None]
) -> Path:
    """Put a model at `folder`, a child of `models_folder()`, unless it is there; returns `folder`.

    Processes that install one name at the same time wait for one of them. `make` is given an empty folder on the same
    file system to work in and returns the folder in it to be renamed: the model is whole or it is absent.

    Raises:
        XmguardError: the cache cannot be written; the message says that `space` is needed. What `make` raises passes.
    """
    from filelock import FileLock, Timeout

    home = folder.parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / f".{name}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            progress(f"waiting for another process that is pulling {name}")
            lock.acquire()
        try:
            if not folder.is_dir():
                with tempfile.TemporaryDirectory(dir=home, prefix=f".{name}-") as work:
                    make(Path(work)).rename(folder)
                progress(f"{name} is in {folder}")
            return folder
        finally:
            lock.release()
    except OSError as error:
        raise XmguardError(
            f"{name} cannot be put into {home}: {error}; it needs about {space} there, {CACHE} names another place",
            code=ErrorCode.FAILED_PRECONDITION,
            reason=Reason.SETUP_INCOMPLETE,
        ) from error
