"""Branches of a context: their own keys after the shared ones, stacked into batches and taken apart again.

A branch holds only its suffix (the question's tail and what it generated). Suffixes of different lengths are padded on
the left, so that every branch's newest token is the last column. Knows nothing of models or sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from xmguard.backends.transformers.context_keys import ContextKeys


@dataclass(frozen=True)
class BranchState:
    """A branch after its tail: everything needed to go on from there, any number of times."""

    context: ContextKeys
    keys: tuple[Tensor, ...]
    """Per layer [1, kv_head, tail, head_dim]."""
    values: tuple[Tensor, ...]
    logits: Tensor
    """After the last tail token, [vocabulary]."""
    position: int
    """Position of the next token."""

    @property
    def length(self) -> int:
        """Tokens in the suffix."""
        return self.keys[0].shape[2]


class BranchBatch:
    """Suffix caches of several branches on one context, growing in lockstep."""

    def __init__(self, states: Sequence[BranchState]) -> None:
        self.context = states[0].context
        device = states[0].logits.device
        width = max(state.length for state in states)
        self.padding = torch.tensor([width - state.length for state in states], device=device)
        self.positions = torch.tensor([state.position for state in states], device=device)
        """Position of each branch's next token, [branch]."""
        self.cache = DynamicCache()
        for layer in range(len(states[0].keys)):
            self.cache.update(
                torch.cat([_pad(state.keys[layer], width) for state in states]),
                torch.cat([_pad(state.values[layer], width) for state in states]),
                layer,
            )

    @property
    def width(self) -> int:
        """Columns of the suffix cache, padding included."""
        return int(self.cache.get_seq_length())

    @property
    def own_start(self) -> Tensor:
        """Position of each branch's first column, [branch]; padded columns lie before the branch's own tokens."""
        return self.positions - self.width

    def key_mask(self, new: int) -> Tensor | None:
        """Visible columns, bool [branch, column], once `new` columns have been added; None when nothing is padded."""
        if not bool(self.padding.any()):
            return None
        columns = torch.arange(self.width + new, device=self.padding.device)
        return columns >= self.padding.unsqueeze(-1)

    def keep(self, rows: Tensor) -> None:
        """Drop every branch whose row is not in `rows`, [kept]."""
        self.padding, self.positions = self.padding[rows], self.positions[rows]
        self.cache.batch_select_indices(rows)


def _pad(tensor: Tensor, width: int) -> Tensor:
    """[1, kv_head, column, head_dim] padded on the left to `width` columns."""
    return torch.nn.functional.pad(tensor, (0, 0, width - tensor.shape[2], 0))
