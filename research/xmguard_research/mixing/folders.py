"""Folders and files that are there whole or not at all, and folders that one process works in. Knows none of them."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from xmguard.errors import ErrorCode, InvalidRequest, Reason, XmguardError


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `out` at the end; where that fails, nothing is left of it.

    Where `out` is a link, its target is replaced.

    Raises:
        OSError: it cannot be written.
    """
    work = None
    try:
        out = out.resolve()
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
        (work / "new").mkdir()
        yield work / "new"
        _put(work / "new", out, work / "old")
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def told(out: Path, left: str = "Nothing was changed") -> Iterator[None]:
    """What keeps a folder from being written, in words.

    Args:
        out: the folder, or a file in it.
        left: what is there after that, in a sentence without its full stop.

    Raises:
        XmguardError: the disk is full, or `out` cannot be written for another reason.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors hides the system's error
        full = disk_is_full(error)
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        said = "the disk is full; free some space" if full else f"{why}; give another --out"
        raise XmguardError(
            f"{out} cannot be written: {said}. {left}",
            code=ErrorCode.RESOURCE_EXHAUSTED if full else ErrorCode.FAILED_PRECONDITION,
            reason=Reason.SETUP_INCOMPLETE,
        ) from error


@contextmanager
def held(folder: Path, doing: str) -> Iterator[None]:
    """No other process does the same in a folder, which is made, meanwhile.

    Args:
        folder: gets a file `.lock`.
        doing: what must not be done twice, in words that follow `is`.

    Raises:
        InvalidRequest: one does.
        XmguardError: the folder cannot be written.
    """
    lock = FileLock(folder / ".lock", blocking=False)
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            said = f"{folder} is {doing} by another process; wait for its end, or choose another folder"
            raise InvalidRequest.field("--out", said) from None
    try:
        yield
    finally:
        lock.release()


def rewrite(file: Path, text: str) -> None:
    """Put a text in place of a file's at once: whoever stops meanwhile leaves the one or the other.

    Raises:
        OSError: it cannot be written.
    """
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)


def disk_is_full(error: Exception) -> bool:
    """Whether that is what an error tells; torch and safetensors tell it in words alone."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def _put(new: Path, out: Path, old: Path) -> None:
    """Rename a folder to `out`, and what is there to `old`; both or neither."""
    try:
        if out.exists():
            out.rename(old)
        new.rename(out)
    except BaseException:  # also Ctrl-C between the two: what `old` holds is thrown away with it
        if old.exists() and not out.exists():
            old.rename(out)
        raise
