"""The instances of a data folder as rows to train on, and how much there is of them. Trains nothing."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from xmguard.errors import InvalidRequest
from xmguard_research.mixing.collating import row
from xmguard_research.mixing.encoding import Encoded, Instance, InstanceEncoder
from xmguard_research.mixing.items import USER
from xmguard_research.mixing.ordering import LengthOrder
from xmguard_research.mixing.recipe import Train
from xmguard_research.mixing.watching import Amount


@dataclass(frozen=True)
class Rows:
    """Encoded instances of one file."""

    encoded: tuple[Encoded, ...]
    contexts: tuple[Hashable | None, ...] = ()
    """What each is read after, as `context` has it; empty where contexts are not read apart."""

    def __len__(self) -> int:
        return len(self.encoded)

    def missing(self, batch: int, processes: int) -> int:
        """Rows without which the last forward pass, of `batch` rows over all processes, is not full for each of them.

        Several processes need as many each, and would be given instances again.
        """
        return -len(self) % batch if processes > 1 else 0

    def dataset(self, blank: int = 0) -> Dataset:
        """As TRL's trainer takes them, and after them `blank` rows without a target."""
        filler = [replace(min(self.encoded, key=lambda one: len(one.ids)), targets=())] * blank
        return Dataset.from_list([row(one) for one in (*self.encoded, *filler)])

    def order(self, train: Train, batch: int, blank: int = 0) -> LengthOrder:
        """The order of training, in forward passes of `batch` instances over all processes, then blank rows."""
        return LengthOrder([len(one.ids) for one in self.encoded], batch, train.seed, self.contexts, blank)

    def amounts(self, order: Iterable[int], step: int) -> Sequence[Amount]:
        """What was trained on until the end of each step of `step` instances."""
        trained = read = 0
        until = []
        for index in (index for index in order if index < len(self)):
            one = self.encoded[index]
            trained, read = trained + one.trained, read + len(one.ids)
            until.append(Amount(trained, read))
        return [*until[step - 1 :: step], *(until[-1:] if len(until) % step else [])]


def read_rows(file: Path, encoder: InstanceEncoder, train: Train) -> Rows:
    """Encode the instances of a file.

    Raises:
        InvalidRequest: the file is not there, a line is no JSON, or an instance cannot be trained on; which is said.
    """
    if not file.is_file():
        raise InvalidRequest.field("--data", f"{file} is not there; make it with: xmguard mix build")
    encoded, contexts = [], []
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
            if train.acts_on == "answer" and any(picture.start >= one.task for picture in one.pictures):
                raise InvalidRequest.field(
                    "train.acts_on",
                    f"is 'answer', which takes pictures in the context, and instance {instance['id']} ends with one; "
                    "put the question after it, or give acts_on: all",
                )
            encoded.append(one)
            if train.acts_on == "answer":
                contexts.append(context(instance, one))
    return Rows(tuple(encoded), tuple(contexts))


def context(instance: Instance, encoded: Encoded) -> Hashable | None:
    """What is read before the task: equal for instances that can share it.

    None where the task is all that is said: then the context is the chat template's, and that of every such instance.
    """
    (asked,) = (message for message in instance["messages"] if message["role"] == USER)
    if len(asked["content"]) == 1:
        return None
    # The same tokens stand for whatever a picture shows.
    return encoded.ids[: encoded.task], tuple(picture.file for picture in encoded.pictures)


def _parsed(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InvalidRequest.field(where, f"is not JSON ({error}); build the data again") from error
