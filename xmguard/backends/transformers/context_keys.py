"""Keys and values of a prefilled context, and which segment each key belongs to. Computes no attention."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from xmguard.attention.segments import Segmentation


@dataclass(frozen=True, eq=False)
class ContextKeys:
    """One pair per layer, shared by every branch that reads it."""

    keys: tuple[Tensor, ...]
    """[1, kv_head, key, head_dim]"""
    values: tuple[Tensor, ...]
    segmentation: Segmentation
    rotary_offset: int = 0
    """Added to the position of a later token in the sequence, gives the position that it is rotated by.

    Not 0 after pictures whose tokens share positions (M-RoPE).
    """

    @cached_property
    def segment_of_key(self) -> Tensor:
        """Segment of every key, [key]."""
        lengths = torch.tensor([piece.stop - piece.start for piece in self.segmentation.pieces])
        segments = torch.tensor([piece.segment for piece in self.segmentation.pieces])
        return segments.repeat_interleave(lengths).to(self.keys[0].device)

    @cached_property
    def positions(self) -> Tensor:
        """Of every key, [key]."""
        return torch.arange(self.segmentation.length, device=self.keys[0].device)

    @cached_property
    def present(self) -> Tensor:
        """The segments that have keys, ordered."""
        present = sorted({piece.segment for piece in self.segmentation.pieces})
        return torch.tensor(present, device=self.keys[0].device)
