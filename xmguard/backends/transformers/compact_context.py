"""What each branch of a batch sees of a context when most of it is removed for all of them.

Spans read alone would otherwise cost every branch the whole context: the work of K branches grows with K squared. The
visible keys are copied once per batch instead, padded to the longest. Computes no attention.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xmguard.backends.transformers.context_keys import ContextKeys

WORTH_IT = 0.3
"""Largest part of the context that a branch may see for its keys to be copied; the copies are memory."""
SMALLEST = 1024
"""Keys of a context below which reading all of them costs less than a forward pass of its own for those that do not."""
FEWEST_SPANS = 4
"""Spans below which too few branches would share such a pass."""


class CompactContext:
    """Visible keys of every branch, [branch, kv_head, key, head_dim], and their epsilons as a mask."""

    def __init__(self, context: ContextKeys, epsilon: Tensor) -> None:
        """`epsilon` in nats, [segment, branch]."""
        of_key = epsilon[context.segment_of_key].T  # [branch, key]
        visible = of_key > -torch.inf
        longest = max(1, int(visible.sum(dim=1).max()))
        # Visible keys first, in order; what follows up to the longest is padding.
        self._index = visible.int().argsort(dim=1, descending=True, stable=True)[:, :longest]
        # A key that is padding is a removed one, so its epsilon hides it.
        self.mask = of_key.gather(1, self._index)[:, None, None]
        """Nats, [branch, 1, 1, key]; -inf for padding."""
        self._context = context
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def layer(self, number: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one layer."""
        if number not in self._layers:
            blocks = (self._context.keys[number], self._context.values[number])
            key, value = (block[0][:, self._index].transpose(0, 1) for block in blocks)
            self._layers[number] = (key, value)
        return self._layers[number]


def sees_little(removed: set[int], context: ContextKeys) -> bool:
    """Whether removing these segments leaves so little of a context that copying it pays."""
    cut = context.segmentation
    if cut.length < SMALLEST or cut.segments - 1 < FEWEST_SPANS:
        return False
    left = sum(piece.stop - piece.start for piece in cut.pieces if piece.segment not in removed)
    return left <= WORTH_IT * cut.length
