"""A model that makes what it is asked for, which is checked: a JSON object, or whatever else a text can stand for.

What is malformed is asked for again, what is there already or was refused never. Knows no protocol and no endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from xmguard_research.benchmarks.generated.cache import Cache, Reply, key_of
from xmguard_research.judge.asking import FIRST_WAIT, Completion, NoReply, Refused
from xmguard_research.judge.replies import json_object

T = TypeVar("T")
Prompt = str | Sequence[Mapping[str, Any]]
"""A text, or parts as the chat API has them."""


class Unwritten(Exception):
    """The model did not write what it was asked for; the message says at which step and why."""


@dataclass
class Meter:
    """What a run has used so far. Thread-safe."""

    asked: int = 0
    kept: int = 0
    """Replies that were there already."""
    malformed: int = 0
    refused: int = 0
    """Of `asked`: by the provider."""
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
                self.refused += reply.refused
                self.tokens_in += reply.tokens_in
                self.tokens_out += reply.tokens_out

    def spoil(self) -> None:
        """Add one malformed reply."""
        with self._lock:
            self.malformed += 1


class Writer:
    """Asks one model through a cache. Thread-safe."""

    def __init__(
        self,
        complete: Callable[[Prompt], Completion],
        cache: Cache,
        *,
        identity: Mapping[str, Any],
        retries: int,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        """`complete` asks, and raises `NoReply`; `retries` is for malformed replies.

        `identity` is what, beside the prompt, makes a request another one.
        """
        self._complete, self._cache, self._identity = complete, cache, dict(identity)
        self._retries, self._first_wait = retries, first_wait
        self.meter = Meter()

    def write(self, step: str, prompt: Prompt, check: Callable[[dict[str, Any]], T]) -> T:
        """What `check` makes of the JSON object of a reply; otherwise as `make`."""
        return self.make(step, prompt, lambda text: check(json_object(text)))

    def make(self, step: str, prompt: Prompt, check: Callable[[str], T]) -> T:
        """What `check` makes of the first reply that it does not refuse with a ValueError or a KeyError.

        Raises:
            Unwritten: every reply was malformed, or the endpoint did not reply, or refused to.
        """
        reason = ""
        for turn in range(1 + self._retries):
            reply = self._reply(step, prompt, turn, wait=self._first_wait * 2 ** (turn - 1) if turn else 0.0)
            if reply.refused:
                raise Unwritten(f"{step}: refused: {reply.malformed}")
            try:
                if reply.malformed:
                    raise ValueError(reply.malformed)
                return check(reply.text)
            except KeyError as error:
                reason = f"{error} is missing"
            except ValueError as error:
                reason = str(error)
            self.meter.spoil()
        raise Unwritten(f"{step}: malformed {1 + self._retries} times, at last: {reason}")

    def _reply(self, step: str, prompt: Prompt, turn: int, *, wait: float) -> Reply:
        key = key_of({**self._identity, "prompt": prompt, "turn": turn})
        if (kept := self._cache.get(key)) is not None:
            self.meter.count(kept, was_kept=True)
            return kept
        time.sleep(wait)
        try:
            found = self._complete(prompt)
            reply = Reply(key, found.text, found.malformed, found.tokens_in, found.tokens_out)
        except Refused as refusal:
            reply = Reply(key, "", str(refusal), 0, 0, refused=True)
        except NoReply as failure:
            raise Unwritten(f"{step}: no reply after {failure.attempts} attempts: {failure}") from failure
        self._cache.put(reply)
        self.meter.count(reply, was_kept=False)
        return reply
