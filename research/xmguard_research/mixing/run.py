"""A run's folder: whose it is, where its parts lie, and what of it is whole.

    run.json        what it is of: recipe, data and base by their SHA-256, instances in a forward pass
    data/           made by the run itself where none was given
    checkpoints/    the trainer's, to go on from, each with a list of its files
    metrics.jsonl   a line for every step and validation
    curves.svg      the same as a picture, and curves.png
    model/          the checkpoint folder that a finished run leaves

Knows no model.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from xmguard.errors import InvalidRequest
from xmguard.profile import CARD
from xmguard_research.mixing.folders import held, rewrite, told

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
_FILES = "files.json"
"""A checkpoint's other files and their sizes in bytes, by name: of one that was copied in part, some are not there."""


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

    def held(self) -> AbstractContextManager[None]:
        """No other process trains in the folder meanwhile; raises as `folders.held`."""
        return held(self.path, "trained in")

    def require_own(self, identity: Mapping[str, str]) -> None:
        """Refuse another run's folder.

        Args:
            identity: what the run is of; a run of the same goes on. What an earlier version did not write is not
                compared, nor is what a finished run has behind it.

        Raises:
            InvalidRequest: it is another run's, or does not say whose it is.
        """
        if others := self._differing(identity):
            raise InvalidRequest.field(
                "--out", f"{self.path} holds a run {others[0]}; choose another folder, or replace it with --force"
            )

    def claim(self, identity: Mapping[str, str], *, force: bool) -> None:
        """Make the folder this run's.

        Args:
            identity: as `require_own` takes it.
            force: throw away what another run, or this one, has left.

        Raises:
            InvalidRequest: it is another run's, or does not say whose it is.
            XmguardError: the folder cannot be written.
        """
        if not force:
            self.require_own(identity)
        with told(self.path, *(["Some of what it held may be gone"] if force else [])):
            self.path.mkdir(parents=True, exist_ok=True)
            if force:
                for folder in (self.checkpoints, self.model):
                    # What is left of another run would be gone on from.
                    if folder.exists():
                        shutil.rmtree(folder)
                self.metrics.unlink(missing_ok=True)
            rewrite(self._whose, json.dumps(identity, indent=2) + "\n")

    @property
    def newest(self) -> Path | None:
        """The checkpoint of the most steps that was written to its end; None without one."""
        ended = [folder for folder in self.checkpoints.glob("checkpoint-*") if _is_ended(folder)]
        return max(ended, key=_step, default=None)

    def tidy(self) -> list[str]:
        """Throw away what was done after the newest checkpoint, and what was being written when a run was stopped.

        Returns:
            Names of the checkpoints that were thrown away.

        Raises:
            InvalidRequest: files of the newest checkpoint are missing; the trainer would go on without what was in
                them.
            XmguardError: the folder cannot be written.
        """
        newest = self.newest
        if newest is not None and (lacking := _lacking(newest)):
            raise InvalidRequest.field(
                "--out",
                f"{newest} was not copied as a whole: {lacking}; copy it again, or remove it to go on from what was "
                "before it",
            )
        begun = sorted(folder for folder in self.checkpoints.glob("checkpoint-*") if not _is_ended(folder))
        unfinished = self.path.glob(
            f".{self.model.name}-*"
        )  # of a model that was being written, as `folders.whole` does
        with told(self.path):
            for folder in (*begun, *unfinished):
                shutil.rmtree(folder)
            self._cut(0 if newest is None else _step(newest))
        return [folder.name for folder in begun]

    @property
    def _whose(self) -> Path:
        return self.path / "run.json"

    def _differing(self, identity: Mapping[str, str]) -> list[str]:
        """Why the run that is there is not this one, in words that follow `a run`."""
        try:
            found = json.loads(self._whose.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            return [f"whose {self._whose.name} cannot be read ({error})"]
        others = [name for name, value in identity.items() if found.get(name, value) != value]
        return [f"of {_OTHER[name]}" for name in others if not self.finished or name != "instances_per_forward"]

    def _cut(self, step: int) -> None:
        if not self.metrics.exists():
            return
        # A run that is stopped while it writes leaves a line without its end, and a machine that loses power any bytes.
        written = self.metrics.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        rewrite(self.metrics, "".join(line for line in written if line.endswith("\n") and _step_of(line) <= step))


def list_files(checkpoint: Path) -> None:
    """Write down which files a checkpoint has, all but the last.

    Raises:
        OSError: it cannot be written.
    """
    sizes = {
        str(file.relative_to(checkpoint)): file.stat().st_size
        for file in sorted(checkpoint.rglob("*"))
        if file.is_file() and file.name not in (_FILES, _STATE)
    }
    (checkpoint / _FILES).write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")


def _lacking(checkpoint: Path) -> str:
    """What a checkpoint that was written to its end has no longer, in words; empty if nothing."""
    try:
        sizes: dict[str, int] = json.loads((checkpoint / _FILES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{_FILES}, the list of its files, cannot be read"
    for name, size in sizes.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is not there"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes of {size}"
    return ""


def _is_ended(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return True


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _step_of(line: str) -> float:
    """Of a line of the metrics; infinite of one that is none."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf
