"""The answer adapter: low-rank updates that act on the rows of the joint answer, and on no others.

The joint answer's rows share batches with those of the branches that the verdict is read from, so that the updates are
added entry by entry. What the rows write into the attention's output is measured as they write it: where the output
projection is adapted, contributions and directions go through the adapted one. Knows nothing of branches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xmguard.attention.head_norms import norm_factors
from xmguard.backends.low_rank import Updates, applied


@dataclass(frozen=True)
class AnswerAdapter:
    """Fitted to a loaded model, whose weights stay as they are."""

    updates: Updates
    factors: Mapping[int, Tensor]
    """R_h of the output projections that it adapts, by layer; `LoadedModel.factors` are the others'."""

    @classmethod
    def fitted(cls, updates: Updates, projections: Sequence[nn.Linear], heads: int) -> AnswerAdapter:
        """With the factors of the output projections of all layers, [d_model, heads * head_dim] each."""
        changed = {
            layer: projection.weight.float() + updates[projection].product
            for layer, projection in enumerate(projections)
            if projection in updates
        }
        return cls(updates, {layer: norm_factors(weight, heads) for layer, weight in changed.items()})


@dataclass(frozen=True)
class Adapted:
    """The entries of one batch that an answer adapter acts on; at least one."""

    adapter: AnswerAdapter
    entries: tuple[int, ...]
    size: int
    """Entries of the batch."""

    @property
    def everything(self) -> bool:
        """Whether it acts on the whole batch."""
        return len(self.entries) == self.size

    def applied(self, device: torch.device) -> AbstractContextManager[None]:
        """The adapter acts on these entries of whatever batch is run within."""
        entries = None if self.everything else torch.tensor(self.entries, device=device)
        return applied(self.adapter.updates, entries)

    def factors(self, layer: int, factors: Tensor) -> Tensor:
        """R_h of a layer's output projection for these entries, given that of the others.

        [head, rank, head_dim], or one for each entry of the batch where they differ.
        """
        own = self.adapter.factors.get(layer)
        if own is None or self.everything:
            return factors if own is None else own
        return torch.stack([own if entry in self.entries else factors for entry in range(self.size)])

    def weight(self, linear: nn.Linear) -> Tensor:
        """The weight of a layer as these entries see it, float32."""
        weight = linear.weight.float()
        update = self.adapter.updates.get(linear)
        return weight if update is None else weight + update.product


def adapted(adapter: AnswerAdapter | None, answering: Sequence[bool]) -> Adapted | None:
    """The entries of a batch that an adapter acts on, by whether each is of a joint answer; None if there are none."""
    entries = tuple(entry for entry, answers in enumerate(answering) if answers)
    return Adapted(adapter, entries, len(answering)) if adapter is not None and entries else None
