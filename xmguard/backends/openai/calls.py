"""An event loop in a thread of its own, in which calls run while the thread that wants them waits or goes on.

Knows nothing of what is called.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Calls:
    """The loop. Safe to share between threads; it ends with its process, or with `close`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="xmguard-openai", daemon=True)
        self._thread.start()

    def begin(self, call: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a call; cancelling the future cancels the call."""
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what runs, make a last call, and end the thread."""
        self.begin(self._end(last)).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @staticmethod
    async def _end(last: Coroutine[Any, Any, None]) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await last
