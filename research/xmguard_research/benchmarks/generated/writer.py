"""A model that writes what it is asked for, as a JSON object that is checked.

What is malformed is asked for again, what is there already never. Knows no protocol.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from xmguard_research.benchmarks.generated.cache import Cache, Reply, key_of
from xmguard_research.judge.asking import FIRST_WAIT, NoReply
from xmguard_research.judge.endpoint import Endpoint
from xmguard_research.judge.replies import json_object

T = TypeVar("T")


class Unwritten(Exception):
    """The model did not write what it was asked for; the message says at which step and why."""


@dataclass
class Meter:
    """What a run has used so far. Thread-safe."""

    asked: int = 0
    kept: int = 0
    """Replies that were there already."""
    malformed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    """Of what was asked in this run."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def count(self, reply: Reply, *, was_kept: bool) -> None:
        """Add one reply."""
        with self._lock:
            if was_kept:
                self.kept += 1
            else:
                self.asked += 1
                self.tokens_in += reply.tokens_in
                self.tokens_out += reply.tokens_out

    def refuse(self) -> None:
        """Add one malformed reply."""
        with self._lock:
            self.malformed += 1


class Writer:
    """Asks one model of one endpoint through a cache. Thread-safe."""

    def __init__(
        self,
        endpoint: Endpoint,
        cache: Cache,
        *,
        identity: Mapping[str, Any],
        retries: int,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        """`identity` is what, beside the prompt, makes a request another one; `retries` is for malformed replies."""
        self._endpoint, self._cache, self._identity = endpoint, cache, dict(identity)
        self._retries, self._first_wait = retries, first_wait
        self.meter = Meter()

    def write(self, step: str, prompt: str | Sequence[Mapping[str, Any]], check: Callable[[dict[str, Any]], T]) -> T:
        """What `check` makes of the first reply that it does not refuse with a ValueError or a KeyError.

        Raises:
            Unwritten: every reply was malformed, or the endpoint did not reply.
        """
        reason = ""
        for turn in range(1 + self._retries):
            reply = self._reply(step, prompt, turn, wait=self._first_wait * 2 ** (turn - 1) if turn else 0.0)
            try:
                if reply.malformed:
                    raise ValueError(reply.malformed)
                return check(json_object(reply.text))
            except KeyError as error:
                reason = f"{error} is missing"
            except ValueError as error:
                reason = str(error)
            self.meter.refuse()
        raise Unwritten(f"{step}: malformed {1 + self._retries} times, at last: {reason}")

    def _reply(self, step: str, prompt: str | Sequence[Mapping[str, Any]], turn: int, *, wait: float) -> Reply:
        key = key_of({**self._identity, "prompt": prompt, "turn": turn})
        if (kept := self._cache.get(key)) is not None:
            self.meter.count(kept, was_kept=True)
            return kept
        time.sleep(wait)
        try:
            found = self._endpoint.complete(prompt)
        except NoReply as failure:
            raise Unwritten(f"{step}: no reply after {failure.attempts} attempts: {failure}") from failure
        reply = Reply(key, found.text, found.malformed, found.tokens_in, found.tokens_out)
        self._cache.put(reply)
        self.meter.count(reply, was_kept=False)
        return reply
