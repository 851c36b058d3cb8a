"""Puts encoded instances into the tensors of one forward pass. Knows no model.

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

Row = Mapping[str, Any]
"""`input_ids`, `labels`, and `task`, as `row` makes them."""


def row(encoded: Encoded) -> dict[str, Any]:
    """An encoded instance as a row of a data set."""
    return {"input_ids": list(encoded.ids), "labels": encoded.labels, "task": encoded.task}


@dataclass(frozen=True)
class WholeCollator:
    """Every row is read by the model that is trained.

    Makes `input_ids` and `labels` [batch, token], and `lengths` [batch] in tokens.
    """

    pad_id: int
    multiple: int = 16
    """Widths are multiples of it: few shapes, for which kernels are prepared once."""

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The rows as one batch."""
        return {
            "input_ids": _padded([one["input_ids"] for one in rows], self.pad_id, self.multiple),
            "labels": _padded([one["labels"] for one in rows], IGNORED, self.multiple),
            "lengths": torch.tensor([len(one["input_ids"]) for one in rows]),
        }


@dataclass(frozen=True)
class AnswerCollator:
    """The context is read by the base, and only the rows after it by the model that is trained.

    Makes `input_ids` and `labels` [batch, token] of task and reply, and of the contexts, each of which stands there
    once: `context_ids` [context, token], `context_lengths` [context] in tokens, and `context` [batch], the index of
    each row's.
    """

    pad_id: int
    multiple: int = 16

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The rows as one batch."""
        own = [tuple(one["input_ids"][: one["task"]]) for one in rows]
        contexts = {context: index for index, context in enumerate(dict.fromkeys(own))}
        return {
            "input_ids": _padded([one["input_ids"][one["task"] :] for one in rows], self.pad_id, self.multiple),
            "labels": _padded([one["labels"][one["task"] :] for one in rows], IGNORED, self.multiple),
            "lengths": torch.tensor([len(one["input_ids"]) - one["task"] for one in rows]),
            "context_ids": _padded(contexts, self.pad_id, self.multiple),
            "context_lengths": torch.tensor([len(context) for context in contexts]),
            "context": torch.tensor([contexts[context] for context in own]),
        }


def _padded(sequences: Iterable[Sequence[int]], filler: int, multiple: int) -> Tensor:
    """[sequence, token], padded on the right to a multiple."""
    given = list(sequences)
    width = -(-max(map(len, given)) // multiple) * multiple
    return torch.tensor([[*sequence, *[filler] * (width - len(sequence))] for sequence in given])
