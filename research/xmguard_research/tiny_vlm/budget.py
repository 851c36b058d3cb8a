"""How much of a stage is done, by time or by tokens, whichever it is given; the learning rate follows it.

By time, a stage ends when it should however fast the machine is; by tokens, it can be repeated.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from xmguard.errors import SetupIncomplete

_KEPT = ("minutes", "tokens", "seconds_spent", "tokens_spent")


@dataclass
class Budget:
    """Of one stage. Exactly one of the bounds is set."""

    minutes: float | None = None
    tokens: int | None = None
    seconds_spent: float = 0.0
    tokens_spent: int = 0
    _last: float | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.tokens is None):
            raise ValueError("a budget is a number of minutes or a number of tokens, not both and not neither")
        if not 0 < self.bound < math.inf:
            raise ValueError(f"a budget of {self.bound} {self.unit} is none; it is more than 0, and it ends")

    @property
    def bound(self) -> float:
        """What there is to spend, in `unit`s."""
        return self.tokens or 0 if self.minutes is None else self.minutes

    @property
    def unit(self) -> str:
        """Of the bound."""
        return "minutes" if self.tokens is None else "tokens"

    @property
    def progress(self) -> float:
        """0 at the start, 1 when it is spent."""
        spent = self.seconds_spent / 60.0 if self.tokens is None else self.tokens_spent
        return min(1.0, spent / self.bound)

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
        """Write down the bound, and what is spent."""
        file.write_text(json.dumps({name: getattr(self, name) for name in _KEPT}) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Budget:
        """What `save` wrote.

        Raises:
            SetupIncomplete: the file does not say all of it.
        """
        found = json.loads(file.read_text(encoding="utf-8"))
        if lacking := [name for name in _KEPT if name not in found]:
            raise SetupIncomplete(
                f"{file} does not say {', '.join(lacking)}: an older version wrote it; train in another folder"
            )
        return cls(**found)

    def resume(self, file: Path) -> None:
        """Take over what was spent before.

        Raises:
            SetupIncomplete: it was spent of another bound, or the file does not say.
        """
        before = Budget.read(file)
        if (before.minutes, before.tokens) != (self.minutes, self.tokens):
            raise SetupIncomplete(
                f"{file} is of {before.bound} {before.unit}, not of {self.bound} {self.unit}; train in another folder"
            )
        self.seconds_spent, self.tokens_spent = before.seconds_spent, before.tokens_spent
