"""A run's folder: whose it is, where its parts lie, and what of it is whole.

    run.json        what it is of: recipe, data and base by their SHA-256, instances in a forward pass
    data/           made by the run itself where none was given
    checkpoints/    the trainer's, to go on from
    metrics.jsonl   a line for every step and validation
    curves.svg      the same as a picture, and curves.png
    model/          the checkpoint folder that a finished run leaves

Knows no model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from xmguard.errors import InvalidRequest
from xmguard.profile import CARD

_OTHER = {
    "recipe_sha256": "another recipe",
    "data_sha256": "other data",
    "base_sha256": "another base of that name",
    "adapter_sha256": "another adapter of that name",
    "instances_per_forward": "another number of processes, or of instances that each reads at once",
}
"""What is not the same, by what tells."""
_STATE = "trainer_state.json"
"""The trainer writes it last."""


@dataclass(frozen=True)
class Run:
    """The folder of one training."""

    path: Path

    @property
    def data(self) -> Path:
        """Where the run's own data lies."""
        return self.path / "data"

    @property
    def checkpoints(self) -> Path:
        """The trainer's output folder."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """A line for every step and validation."""
        return self.path / "metrics.jsonl"

    @property
    def model(self) -> Path:
        """The checkpoint folder."""
        return self.path / "model"

    @property
    def finished(self) -> bool:
        """Whether the model is there."""
        return (self.model / CARD).is_file()

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other process trains in the folder meanwhile.

        Raises:
            InvalidRequest: one does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise InvalidRequest.field(
                "--out", f"{self.path} is trained in by another process; wait for its end, or choose another folder"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def claim(self, identity: Mapping[str, str], *, force: bool) -> None:
        """Make the folder this run's.

        Args:
            identity: what the run is of; a run of the same goes on. What an earlier version did not write is not
                compared, nor is what a finished run has behind it.
            force: throw away what another run, or this one, has left.

        Raises:
            InvalidRequest: it is another run's.
        """
        file = self.path / "run.json"
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        others = [] if found is None else [name for name, value in identity.items() if found.get(name, value) != value]
        if self.finished:
            others = [name for name in others if name != "instances_per_forward"]
        if others and not force:
            raise InvalidRequest.field(
                "--out",
                f"{self.path} holds a run of {_OTHER[others[0]]}; choose another folder, or replace it with --force",
            )
        if force:
            for folder in (self.checkpoints, self.model):
                shutil.rmtree(folder, ignore_errors=True)
            self.metrics.unlink(missing_ok=True)
        self.path.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")

    @property
    def newest(self) -> Path | None:
        """The whole checkpoint of the most steps; None without one."""
        whole = [folder for folder in self.checkpoints.glob("checkpoint-*") if _whole(folder)]
        return max(whole, key=_step, default=None)

    def tidy(self) -> None:
        """Throw away what was done after the newest checkpoint, and what was being written when a run was stopped."""
        for folder in self.checkpoints.glob("checkpoint-*"):
            if not _whole(folder):
                shutil.rmtree(folder)
        self._cut(0 if self.newest is None else _step(self.newest))

    def _cut(self, step: int) -> None:
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines(keepends=True):
            # A run that is stopped while it writes leaves a line without its end.
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        cut = self.metrics.with_suffix(".cut")
        cut.write_text("".join(kept), encoding="utf-8")
        cut.rename(self.metrics)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return True
