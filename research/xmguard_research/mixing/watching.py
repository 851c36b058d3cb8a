"""Writes what a training does to a file, line by line, and stops it when its loss is no number. Knows no model."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback


class Watch(TrainerCallback):  # type: ignore[misc]
    """A line for every step and validation: step, loss in nats per trained token, and how fast it goes."""

    def __init__(self, file: Path, trained: int, read: int, tell: Callable[[str], None]) -> None:
        """`trained` and `read`: tokens of all instances, of which a step has its share."""
        self._file = file
        self._trained = trained
        self._read = read
        self._tell = tell
        self.seconds = 0.0
        """Of training, in all runs."""
        self._since = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._since = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Write a line."""
        said = logs or {}
        for name in ("loss", "grad_norm"):
            if not math.isfinite(said.get(name, 0.0)):
                raise FloatingPointError(f"{name} is {said[name]} at step {state.global_step}")
        self.seconds = time.monotonic() - self._since
        share = state.global_step / max(1, state.max_steps)
        line = {
            "step": state.global_step,
            "loss": said.get("loss"),
            "validation_loss": said.get("eval_loss"),
            "learning_rate": said.get("learning_rate"),
            "trained_tokens": round(share * self._trained),
            "read_tokens": round(share * self._read),
            "tokens_per_second": round(share * self._read / max(self.seconds, 1e-9), 1),
            "seconds": round(self.seconds, 2),
        }
        if line["loss"] is None and line["validation_loss"] is None:
            return
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({key: value for key, value in line.items() if value is not None}) + "\n")
        self._tell(json.dumps(line))
