"""A worker process, from its start to its end: `python -m xmguard_server.workers.process NUMBER DESCRIPTOR MEMORY`.

Which guard to load is read, pickled, from standard input; the link to the front is the open socket DESCRIPTOR. MEMORY
is the most address space in bytes, 0 for no limit. Leads a process group of its own, so that whatever an engine
starts ends with it.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import sys
from types import FrameType

from xmguard_server.logs import log_to_stderr
from xmguard_server.workers.runtime import REQUEST_ID, serve
from xmguard_server.workers.served import Loading


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
    if serve(socket.socket(fileno=descriptor), loading):
        logging.shutdown()
        # Not by way of the interpreter's end: a thread that still loads or computes would be torn apart in it.
        os._exit(0)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _leave_it_to_the_front(number: int, frame: FrameType | None) -> None:
    pass


if __name__ == "__main__":
    main()
