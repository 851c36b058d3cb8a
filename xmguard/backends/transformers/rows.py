"""Query rows of a batch and the keys they see, as one forward pass needs them. Holds tensors; computes no attention."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from xmguard.attention.segments import Segmentation
from xmguard.backends.transformers.answer_adapter import Adapted
from xmguard.backends.transformers.context_keys import ContextKeys
from xmguard.backends.transformers.steering import Steering


@dataclass(frozen=True)
class Rows:
    """Query rows of a batch and the keys they see: a shared context, if any, followed by keys of their own."""

    segments: int
    own: Segmentation
    """How their own keys are cut; a branch's suffix is all rest."""
    context: ContextKeys | None
    positions: Tensor
    """Of the rows in the sequence, [batch, query] or [1, query]."""
    own_start: Tensor
    """Position of the first own key in the sequence, [batch] or [1]; padding counts, so it may lie in the context."""
    key_mask: Tensor | None
    """bool [batch, own key], False for padding."""
    steering: Steering | None
    """None leaves attention as it is."""
    adapted: Adapted | None = None
    """The entries that an answer adapter acts on; None where it acts on none."""

    @property
    def rotary(self) -> Tensor:
        """Positions that rows after a context are rotated by, as `positions`; masks and windows go by those."""
        return self.positions if self.context is None else self.positions + self.context.rotary_offset

    @cached_property
    def last_position(self) -> int:
        """Largest of `positions`."""
        return int(self.positions.max())

    @cached_property
    def own_positions(self) -> Tensor:
        """Of their own keys in the sequence, [batch or 1, key]."""
        columns = torch.arange(self.own.length, device=self.positions.device)
        return self.own_start.unsqueeze(-1) + columns

    @cached_property
    def own_mask(self) -> Tensor | None:
        """What the rows must not see of their own keys as -inf, [batch, 1, query, key]; None when they see all."""
        hidden = None if self.key_mask is None else ~self.key_mask.unsqueeze(1)
        if self.positions.shape[1] > 1:
            later = self.own_positions.unsqueeze(1) > self.positions.unsqueeze(-1)
            hidden = later if hidden is None else hidden | later
        if hidden is None:
            return None
        return torch.zeros(hidden.shape, device=hidden.device).masked_fill(hidden, -torch.inf).unsqueeze(1)
