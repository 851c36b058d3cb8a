"""Ends a process of vLLM's once the process that started it is gone, however that ended.

Nothing is run in a process that is killed, so that it cannot end those it has started. Knows nothing of engines.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process

GRACE = 3.0
"""Seconds that a process has for ending by itself, after SIGTERM."""
_WATCHED = "XMGUARD_VLLM_WATCHED"
"""Set in the environment of the processes of an engine that xmguard has started."""
_NAME = "xmguard-parent"


@contextmanager
def watched() -> Iterator[None]:
    """Processes that are started within the block watch their parents, and so do those that they start."""
    os.environ[_WATCHED] = "1"
    try:
        yield
    finally:
        del os.environ[_WATCHED]


def watch() -> None:
    """Watch this process's parent, if that is wanted. Safe to call again."""
    parent = parent_process()
    if parent is None or _WATCHED not in os.environ or any(one.name == _NAME for one in threading.enumerate()):
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name=_NAME, daemon=True).start()
