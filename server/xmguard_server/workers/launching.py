"""How a worker is started and ended: a new interpreter, never a copy of the front, in a process group of its own.

The front holds the worker's standard input open as long as it lives and never writes to it again: that it closes is
how the worker learns that the front is gone, however it went.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Protocol

from xmguard_server.workers.served import Loading


class Launched(Protocol):
    """A worker that was started."""

    @property
    def link(self) -> socket.socket:
        """The front's end of the link to it."""
        ...

    def ended(self) -> str:
        """How it ended, in words; empty while it runs."""
        ...

    def kill(self) -> None:
        """End it, and all that it started; returns when it is gone."""
        ...


class Launch(Protocol):
    """Starts the worker of a number, which counts from 0."""

    def __call__(self, number: int) -> Launched:
        """Start it; it loads its guard by itself. Raises OSError."""
        ...


class ProcessLaunch:
    """Starts workers as processes."""

    def __init__(self, loading: Loading, *, workers: int, memory: int) -> None:
        """`memory` is the most address space of each in bytes; 0 is no limit."""
        self._loading = loading
        self._memory = memory
        self._environment = {
            **os.environ,
            # A worker imports what the front would, and nothing that happens to lie in the working directory (-P).
            "PYTHONPATH": os.pathsep.join(
                path for path in sys.path if path and not path.startswith((sys.prefix, sys.base_prefix))
            ),
        }
        if workers > 1:  # each would take every core, and they would wait for each other
            threads = max(1, (os.cpu_count() or 1) // workers)
            self._environment.setdefault("OMP_NUM_THREADS", str(threads))

    def __call__(self, number: int) -> Launched:
        """Start one; it loads its guard by itself."""
        front, worker = socket.socketpair()
        told = number, worker.fileno(), self._memory
        with worker:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.process", *map(str, told)],
                stdin=subprocess.PIPE,
                stdout=2,  # what libraries print is no output of the server
                pass_fds=(worker.fileno(),),
                start_new_session=True,
                env=self._environment,
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # a worker that ended already is noticed soon
            process.stdin.write(pickle.dumps(self._loading))
            process.stdin.flush()
        return _Process(process, front)


class _Process:
    def __init__(self, process: subprocess.Popen[bytes], link: socket.socket) -> None:
        self.link = link
        self._process = process

    def ended(self) -> str:
        status = self._process.poll()
        if status is None:
            return ""
        return f"ended with status {status}" if status >= 0 else f"was killed by {signal.Signals(-status).name}"

    def kill(self) -> None:
        # Also when it has ended by itself: what its engine started may be left.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # of a description that was never read
            self._process.stdin.close()
        self._process.wait()
