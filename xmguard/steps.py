"""How long each step of a request took. Values and a clock: who counts or draws them is no business of this.

Two looks at the clock per step are all it costs, whether anybody wants to know or not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    """What a guard does for a request, in this order; not every request takes every step."""

    ENCODE = "encode"
    """Validate, lay the prompt out, turn it into tokens and pixels."""
    PREFILL = "prefill"
    """Read the context."""
    MEASURE = "measure"
    """Read the question without a bias, and measure the spans' contributions."""
    REBALANCE = "rebalance"
    """Let the policy decide, and measure under its bias."""
    ALONE = "alone"
    """Decode until every span has answered alone; the joint answer is decoded beside."""
    JUDGE = "judge"
    """Score the answers under the other spans, and estimate."""
    QUOTE = "quote"
    """Find the sentences that disagree."""
    DECODE = "decode"
    """Decode what is left of the joint answer, and measure over it; the time its reader takes is part of it."""


@dataclass(frozen=True)
class StepTime:
    """One step that was taken."""

    step: Step
    began: float
    """Seconds since the epoch."""
    seconds: float


class Steps:
    """The steps of one request. Used on one thread at a time."""

    def __init__(self, *taken: StepTime) -> None:
        """`taken` before."""
        self._taken = taken
        self._began: dict[Step, tuple[float, float]] = {}

    @property
    def taken(self) -> tuple[StepTime, ...]:
        """In the order in which they ended; those that have not, up to now, are the last."""
        now = time.perf_counter()
        return (*self._taken, *(StepTime(step, began, now - at) for step, (began, at) in self._began.items()))

    @contextmanager
    def timed(self, step: Step) -> Iterator[None]:
        """Take the time of the body, which counts also if it raises."""
        self._began[step] = time.time(), time.perf_counter()
        try:
            yield
        finally:
            began, at = self._began.pop(step)
            self._taken += (StepTime(step, began, time.perf_counter() - at),)
