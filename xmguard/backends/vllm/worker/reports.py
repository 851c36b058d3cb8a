"""Results on their way from a GPU to the front, without the engine waiting for them.

A copy is queued behind the kernels that make it; a thread waits for it and tells. Messages leave in the order in which
they were given. Knows nothing of what they say.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import torch
from torch import Tensor

_Message = tuple[torch.cuda.Event | None, Callable[[], None]]


class Reports:
    """One thread, which alone speaks to the front."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="xmguard-reports", daemon=True)
        self._thread.start()

    def say(self, tell: Callable[[], None]) -> None:
        """Have something told that is on the host already."""
        self._queue.put((None, tell))

    def send(self, values: Tensor, tell: Callable[[Tensor], None]) -> Tensor:
        """Have `values` told as they are once everything queued on the device so far is through.

        Returns:
            The copy on the host. It holds nothing before `tell` was called with it.
        """
        if not values.is_cuda:
            copied = values.clone()
            self._queue.put((None, lambda: tell(copied)))
            return copied
        copied = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        copied.copy_(values, non_blocking=True)
        through = torch.cuda.Event()  # type: ignore[no-untyped-call]
        through.record()
        self._queue.put((through, lambda: tell(copied)))
        return copied

    def close(self) -> None:
        """Tell what was given so far, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            through, tell = message
            if through is not None:
                through.synchronize()
            tell()
