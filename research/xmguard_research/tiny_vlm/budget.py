"""How much of a stage is done, by time or by tokens, whichever it is given; the learning rate follows it.

By time, a stage ends when it should however fast the machine is; by tokens, it can be repeated.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Budget:
    """Of one stage. Exactly one of the bounds is set."""

    minutes: float | None = None
    tokens: int | None = None
    seconds_spent: float = 0.0
    tokens_spent: int = 0
    _last: float | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.tokens is None):
            raise ValueError("a budget is a number of minutes or a number of tokens, not both and not neither")

    @property
    def progress(self) -> float:
        """0 at the start, 1 when it is spent."""
        if self.tokens is not None:
            return min(1.0, self.tokens_spent / self.tokens)
        return min(1.0, self.seconds_spent / (60.0 * (self.minutes or 0.0)))

    def start(self) -> None:
        """The clock runs from here; time between runs is not spent."""
        self._last = time.monotonic()

    def spend(self, tokens: int) -> None:
        """One step was made."""
        now = time.monotonic()
        self.seconds_spent += now - (self._last if self._last is not None else now)
        self._last = now
        self.tokens_spent += tokens

    def rate(self, warmup: float) -> float:
        """The factor on the peak learning rate: up in a line, down along a cosine, nothing at the end."""
        done = self.progress
        if done < warmup:
            return (done + 1e-3) / (warmup + 1e-3)
        return 0.5 * (1.0 + math.cos(math.pi * (done - warmup) / (1.0 - warmup)))

    def save(self, file: Path) -> None:
        """Write down what is spent."""
        spent = {name: value for name, value in asdict(self).items() if name.endswith("_spent")}
        file.write_text(json.dumps(spent) + "\n", encoding="utf-8")

    def load(self, file: Path) -> None:
        """Take over what was spent before."""
        for name, value in json.loads(file.read_text(encoding="utf-8")).items():
            setattr(self, name, value)
