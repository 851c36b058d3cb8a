"""Puts encoded instances into the tensors of one forward pass, and reads their pictures for it. Knows no model.

Padding stands on the right, where no real row sees it: attention is causal, so a whole conversation needs no mask, and
later items read earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xmguard_research.mixing.encoding import IGNORED, Encoded
from xmguard_research.mixing.pictures import InstancePictures, batched

Row = Mapping[str, Any]
"""`input_ids`, `labels`, `task` and `pictures`, as `row` makes them."""


def row(encoded: Encoded) -> dict[str, Any]:
    """An encoded instance as a row of a data set."""
    return {
        "input_ids": list(encoded.ids),
        "labels": encoded.labels,
        "task": encoded.task,
        "pictures": [picture.file for picture in encoded.pictures],
    }


@dataclass(frozen=True)
class WholeCollator:
    """Every row is read by the model that is trained.

    Makes `input_ids` and `labels` [batch, token], and `lengths` [batch] in tokens; and `pictures`, the arguments of the
    model that pictures make, by name; none where there are no pictures.
    """

    pad_id: int
    multiple: int = 16
    """Widths are multiples of it: few shapes, for which kernels are prepared once."""
    pictures: InstancePictures | None = None
    """Of a model that reads pictures."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The rows as one batch."""
        return {
            "input_ids": _padded([one["input_ids"] for one in rows], self.pad_id, self.multiple),
            "labels": _padded([one["labels"] for one in rows], IGNORED, self.multiple),
            "lengths": torch.tensor([len(one["input_ids"]) for one in rows]),
            "pictures": _pictures([file for one in rows for file in one["pictures"]], self.pictures),
        }


@dataclass(frozen=True)
class AnswerCollator:
    """The context is read by the base, and only the rows after it by the model that is trained.

    Makes `input_ids` and `labels` [batch, token] of task and reply, and of the contexts, each of which stands there
    once: `context_ids` [context, token], `context_lengths` [context] in tokens, and `context` [batch], the index of
    each row's; `pictures` are those of the contexts. No picture stands after a context.
    """

    pad_id: int
    multiple: int = 16
    pictures: InstancePictures | None = None

    def __call__(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The rows as one batch."""
        # The same tokens stand for whatever a picture shows.
        own = [(tuple(one["input_ids"][: one["task"]]), tuple(one["pictures"])) for one in rows]
        contexts = {context: index for index, context in enumerate(dict.fromkeys(own))}
        ids = [context for context, _ in contexts]
        return {
            "input_ids": _padded([one["input_ids"][one["task"] :] for one in rows], self.pad_id, self.multiple),
            "labels": _padded([one["labels"][one["task"] :] for one in rows], IGNORED, self.multiple),
            "lengths": torch.tensor([len(one["input_ids"]) - one["task"] for one in rows]),
            "context_ids": _padded(ids, self.pad_id, self.multiple),
            "context_lengths": torch.tensor([len(context) for context in ids]),
            "context": torch.tensor([contexts[context] for context in own]),
            "pictures": _pictures([file for _, files in contexts for file in files], self.pictures),
        }


def _pictures(files: Sequence[str], pictures: InstancePictures | None) -> dict[str, Tensor]:
    return {} if pictures is None else batched([pictures.read(file) for file in files])


def _padded(sequences: Iterable[Sequence[int]], filler: int, multiple: int) -> Tensor:
    """[sequence, token], padded on the right to a multiple."""
    given = list(sequences)
    width = -(-max(map(len, given)) // multiple) * multiple
    return torch.tensor([[*sequence, *[filler] * (width - len(sequence))] for sequence in given])
