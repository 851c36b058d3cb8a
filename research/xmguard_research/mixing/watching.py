"""Watches a training: a line of its metrics file for every step, and the end of it when its loss is no number.

Knows no model.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from xmguard.errors import ErrorCode, Reason, XmguardError
from xmguard_research.mixing.folders import disk_is_full

Show = Callable[[str, int, int], None]
"""Told how it goes in words, the steps made, and how many there will be."""
_TOLD, _PAUSE = 10, 5.0
"""How often something is said where there is no bar, and seconds that are between."""


def now_and_then(tell: Callable[[str], None]) -> Show:
    """Tells about ten times how it goes, for logs; nothing of what is done within seconds."""
    last = time.monotonic()

    def show(line: str, step: int, steps: int) -> None:
        nonlocal last
        if steps and step and step % max(1, steps // _TOLD) == 0 and time.monotonic() - last >= _PAUSE:
            last = time.monotonic()
            tell(f"{step} of {steps}: {line}")

    return show


class TrainingStopped(XmguardError):
    """A training cannot go on; the checkpoints written until then are kept."""

    code = ErrorCode.FAILED_PRECONDITION
    reason = Reason.SETUP_INCOMPLETE

    @classmethod
    def unwritable(cls, what: object, error: Exception) -> TrainingStopped:
        """Something of a run could not be written."""
        return cls._failed(what, "written", error)

    @classmethod
    def unreadable(cls, what: object, error: OSError) -> TrainingStopped:
        """Something that a run reads while it trains could not be read."""
        return cls._failed(what, "read", error)

    @classmethod
    def exhausted(cls, instances: int, tokens: int, error: Exception) -> TrainingStopped:
        """The memory is not enough for a forward pass of so many `instances`, the longest of so many `tokens`."""
        return cls(
            f"the memory is not enough for {instances} instances of up to {tokens} tokens at once "
            f"({_first(error)}); give a smaller train.instances_per_forward, or shorter items, and another --out: "
            "it is another run then"
        )

    @classmethod
    def _failed(cls, what: object, done: str, error: Exception) -> TrainingStopped:
        why = _first(error)
        if disk_is_full(error):
            why = "the disk is full; free some space"
        return cls(
            f"{what} cannot be {done}: {why}. The checkpoints before are kept; the same command, without --force, goes "
            "on from the last"
        )


@dataclass(frozen=True)
class Amount:
    """What was trained on until a step."""

    trained: int
    """Tokens that carried a loss."""
    read: int
    """All tokens, each counted whenever it is part of an instance."""


class Watch(TrainerCallback):  # type: ignore[misc]
    """Writes loss in nats per trained token, learning rate, tokens, seconds, and tokens per second."""

    def __init__(self, file: Path, amounts: Sequence[Amount], show: Show) -> None:
        """Watch a training that starts, or goes on from what `file` has.

        Args:
            file: JSON lines; appended to.
            amounts: until the end of each step, in order.
            show: told of every step.
        """
        self._file = file
        self._amounts = [Amount(0, 0), *amounts]
        self._show = show
        self._before = _seconds(file)
        self._since = time.monotonic()
        self._first = 0

    @property
    def seconds(self) -> float:
        """Of training, in all runs that made it."""
        return self._before + time.monotonic() - self._since

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock, at the step that training goes on from."""
        self._since = time.monotonic()
        self._first = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Write a line.

        Raises:
            TrainingStopped: the loss, or its gradient, is no finite number; or the line cannot be written.
        """
        said = logs or {}
        for name, what in (("loss", "the loss"), ("eval_loss", "the validation loss"), ("grad_norm", "its gradient")):
            if not math.isfinite(said.get(name, 0.0)):
                raise TrainingStopped(
                    f"{what} is {said[name]} at step {state.global_step}; the last checkpoint before it is kept. Train "
                    "in another folder with a lower train.learning_rate, a longer train.warmup, or precision: fp32"
                )
        found = {name: said[key] for name, key in _NAMES.items() if key in said}
        if "learning_rate" in found or "validation_loss" in found:
            self._write(state.global_step, state.max_steps, found, main=state.is_world_process_zero)

    def _write(self, step: int, steps: int, found: dict[str, float], *, main: bool) -> None:
        spent = max(time.monotonic() - self._since, 1e-9)
        amount = self._amounts[step]
        speed = (amount.read - self._amounts[self._first].read) / spent
        if not main:
            return
        line = {
            "step": step,
            **found,
            "trained_tokens": amount.trained,
            "read_tokens": amount.read,
            "tokens_per_second": round(speed, 1),
            "seconds": round(self.seconds, 2),
        }
        try:
            with self._file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError as error:
            raise TrainingStopped.unwritable(self._file, error) from error
        left = (self._amounts[-1].read - amount.read) / max(speed, 1e-9)
        losses = ", ".join(f"{name.replace('_', ' ')} {found[name]:.3f}" for name in _LOSSES if name in found)
        self._show(f"{losses}, {speed:.0f} tokens/s, {_duration(left)} left", step, steps)


_NAMES = {"loss": "loss", "validation_loss": "eval_loss", "learning_rate": "learning_rate"}
"""Of a line's numbers in the trainer's log."""
_LOSSES = ("loss", "validation_loss")


def _first(error: Exception) -> str:
    """The beginning of what an error says, on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _seconds(file: Path) -> float:
    """Spent until the last line of a metrics file."""
    if not file.exists():
        return 0.0
    written = file.read_text(encoding="utf-8").splitlines()
    return float(json.loads(written[-1])["seconds"]) if written else 0.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"
