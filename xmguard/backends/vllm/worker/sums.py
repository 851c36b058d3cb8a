"""What was measured of a request's rows, summed. Holds numbers; measures nothing."""

from __future__ import annotations

import torch
from torch import Tensor


class Totals:
    """Sums over rows of ||u_k||, attention masses and epsilons in nats, [layer, segment, head] each, float64."""

    def __init__(self, layers: int, segments: int, heads: int) -> None:
        self._sums = torch.zeros(3, layers, segments, heads, dtype=torch.float64)
        self.rows = 0
        """How many rows every layer has added."""

    def add(self, layer: int, norms: Tensor, masses: Tensor, epsilons: Tensor) -> None:
        """Add rows of one layer, [segment, head, row] each; `rows` is for the caller to count, once for all layers."""
        for total, rows in zip(self._sums, (norms, masses, epsilons), strict=True):
            total[layer] += rows.sum(-1, dtype=torch.float64)

    def add_sums(self, sums: Tensor) -> None:
        """Add sums over rows of all layers, [3, layer, segment, head]; they may have more segments."""
        self._sums += sums[:, :, : self._sums.shape[2]]

    def arrays(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three sums, [layer, head, segment], float32."""
        norms, masses, epsilons = self._sums.transpose(2, 3).float().contiguous()
        return norms, masses, epsilons
