"""The instances of a data folder as rows to train on, and how much there is of them. Trains nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from xmguard.errors import InvalidRequest
from xmguard_research.mixing.collating import row
from xmguard_research.mixing.encoding import Encoded, InstanceEncoder
from xmguard_research.mixing.ordering import LengthOrder
from xmguard_research.mixing.recipe import Train
from xmguard_research.mixing.watching import Amount


@dataclass(frozen=True)
class Rows:
    """Encoded instances of one file."""

    encoded: tuple[Encoded, ...]

    def __len__(self) -> int:
        return len(self.encoded)

    def dataset(self) -> Dataset:
        """As TRL's trainer takes them."""
        return Dataset.from_list([row(one) for one in self.encoded])

    def order(self, train: Train, batch: int) -> LengthOrder:
        """The order of training, in forward passes of `batch` instances over all processes."""
        contexts = [one.ids[: one.task] for one in self.encoded] if train.acts_on == "answer" else []
        return LengthOrder([len(one.ids) for one in self.encoded], batch, train.seed, contexts)

    def amounts(self, order: Iterable[int], step: int) -> Sequence[Amount]:
        """What was trained on until the end of each step of `step` instances."""
        trained = read = 0
        until = []
        for index in order:
            one = self.encoded[index]
            trained, read = trained + one.trained, read + len(one.ids)
            until.append(Amount(trained, read))
        return [*until[step - 1 :: step], *(until[-1:] if len(until) % step else [])]


def read_rows(file: Path, encoder: InstanceEncoder, train: Train) -> Rows:
    """Encode the instances of a file.

    Raises:
        InvalidRequest: the file is not there, or an instance cannot be trained on; with its line.
    """
    if not file.is_file():
        raise InvalidRequest.field("--data", f"{file} is not there; make it with: xmguard mix build")
    encoded = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            instance = _parsed(line, f"{file}:{number}")
            one = encoder.encode(instance)
            if train.acts_on == "answer" and len(one.targets) > 1:
                raise InvalidRequest.field(
                    "train.acts_on",
                    f"is 'answer', which takes one question and one reply, and instance {instance['id']} holds "
                    f"{len(one.targets)} replies; give data.items: 1, data.turns: single, or acts_on: all",
                )
            encoded.append(one)
    return Rows(tuple(encoded))


def _parsed(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InvalidRequest.field(where, f"is not JSON ({error}); build the data again") from error
