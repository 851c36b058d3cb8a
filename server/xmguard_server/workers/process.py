"""A worker process, from its start to its end: `python -m xmguard_server.workers.process NUMBER DESCRIPTOR MEMORY`.

Which guard to load is read, pickled, from standard input; the link to the front is the open socket DESCRIPTOR. MEMORY
is the most address space in bytes, 0 for no limit. Leads a process group of its own, so that whatever an engine
starts ends with it.

Ends, and its group with it, when the front is gone. On Linux the kernel sees to that, at once and also while a model
holds Python's lock; elsewhere it is the thread that reads the link, which needs that lock, once the engine had its time
to close.
"""

from __future__ import annotations

import fcntl
import io
import logging
import os
import pickle
import select
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

from xmguard_server.logs import log_to_stderr
from xmguard_server.workers.runtime import REQUEST_ID, serve
from xmguard_server.workers.served import Loading


class _Lossy(io.TextIOWrapper):
    """Output that is lost where there is no room for it: what a library prints on a full disk must end no request."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


class _Signed(logging.Filter):
    """Says in every record which worker wrote it, and for which request."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def filter(self, record: logging.LogRecord) -> bool:
        signed: dict[str, object] = {**getattr(record, "fields", {}), "worker": self._number}
        if REQUEST_ID.get():
            signed["request_id"] = REQUEST_ID.get()
        record.fields = signed
        return True


def main() -> None:
    """Run one worker; ends the process."""
    number, descriptor, memory = map(int, sys.argv[1:])
    os.set_inheritable(descriptor, False)
    sys.stdout, sys.stderr = (
        _Lossy(stream.buffer, encoding=stream.encoding, errors="backslashreplace", line_buffering=True)
        for stream in (sys.stdout, sys.stderr)
    )
    log_to_stderr()
    for handler in logging.getLogger().handlers:
        handler.addFilter(_Signed(number))
    # When to end is for the front to say: it lets requests finish first. Ctrl-C and service managers signal both. A
    # handler, because a signal that is ignored stays ignored in what an engine starts.
    for signalled in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signalled, _leave_it_to_the_front)
    if memory:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    loading: Loading = pickle.load(sys.stdin.buffer)
    _end_with_the_front()
    if serve(socket.socket(fileno=descriptor), loading):
        logging.shutdown()
        # Not by way of the interpreter's end: a thread that still loads or computes would be torn apart in it.
        os._exit(0)
    _end_the_group()


def _end_with_the_front() -> None:
    """Have the kernel end the group when the front's end of standard input closes, and leave nothing there to read."""
    lifeline = os.dup(sys.stdin.fileno())
    with open(os.devnull, "rb") as nothing:  # a library that asks a question gets no answer, instead of waiting for one
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    if sys.platform == "linux":
        # Not PR_SET_PDEATHSIG: that ends the leader alone, and also when only the front's thread ends that started it.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgid(0))
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # the front was gone before the kernel was told
        _end_the_group()


def _end_the_group() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _leave_it_to_the_front(number: int, frame: FrameType | None) -> None:
    pass


if __name__ == "__main__":
    main()
