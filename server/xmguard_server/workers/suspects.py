"""Requests that are thought to break workers: refused for a while, so that asking again does not end one worker more.

The rule. When a worker is lost, the requests that it ran or prepared are suspects; what only waited its turn is not.
One that was alone takes the loss upon itself. Of several none can be blamed alone, so each takes half of it. Whoever
has two losses upon it is refused: the second time for one that was alone, the fourth for one that always had company.
A request that is answered is cleared, whoever asked it, so in company that takes four losses in a row without one
answer: a request that breaks workers makes them all, one that only was there rarely does. A request that is asked
several times at once counts as one. Ten minutes after its last loss all is forgotten, and it may be tried again.

The same request is the same method with the same bytes. Kept is a digest of them under a key of this process, never
what was asked; and of the newest so many only.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from xmguard.errors import EngineError, ErrorCode

LOSSES = 2.0
"""Losses upon a request from which on it is refused."""
_SHARED = 0.5
"""What each of several takes of one loss."""
SECONDS = 600.0
"""After the last loss, until it is forgotten."""
MOST = 1024
"""Requests that are remembered."""
_KEY = secrets.token_bytes(32)
"""Of this process: nobody who sees a digest can try out what it may be of."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What a call asks."""

    method: str
    body: bytes = field(repr=False)
    """The request, packed."""

    @cached_property
    def digest(self) -> bytes:
        """Stands for it. Taken once, and only where it is needed: of large pictures it takes tens of milliseconds."""
        return blake2b(self.body, digest_size=16, key=_KEY, person=self.method.encode()).digest()


@dataclass
class _Suspect:
    losses: float
    until: float


class Suspects:
    """The requests in question. Lives in one event loop, and is not safe in others."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now` tells seconds from any beginning."""
        self._now = now
        self._known: dict[bytes, _Suspect] = {}  # the one that is forgotten first comes first

    def lost(self, working: Iterable[Asked]) -> None:
        """A worker was lost that ran or prepared these."""
        digests = {asked.digest for asked in working}
        share = 1.0 if len(digests) == 1 else _SHARED
        self._forget_old()
        for digest in digests:
            known = self._known.pop(digest, None)
            losses = share + (known.losses if known else 0.0)
            self._known[digest] = _Suspect(losses, self._now() + SECONDS)
            if losses >= LOSSES:
                logger.error("workers were lost again and again under one request; it is refused for %g s", SECONDS)
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def answered(self, asked: Asked) -> None:
        """A request was answered, so it is not what breaks workers."""
        if self._known:
            self._known.pop(asked.digest, None)

    def refuse(self, asked: Asked) -> None:
        """Do nothing, or refuse the request.

        Raises:
            EngineError: FAILED_PRECONDITION, with `retry_after`: it has too many losses upon it.
        """
        if not self._known:  # as a rule: then nothing is hashed
            return
        self._forget_old()
        suspect = self._known.get(asked.digest)
        if suspect is not None and suspect.losses >= LOSSES:
            seconds = suspect.until - self._now()
            raise EngineError(
                f"workers were lost again and again while they had this request, so it is refused for {seconds:.0f} s; "
                "change it, or ask those who run the server what their log says of it",
                code=ErrorCode.FAILED_PRECONDITION,
                retry_after=seconds,
            )

    def _forget_old(self) -> None:
        now = self._now()
        while self._known and (first := next(iter(self._known))) and self._known[first].until <= now:
            del self._known[first]
