"""What a rebalancing policy decides: a bias per span, and who reads with it.

Pure values; knows nothing of how an engine applies them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from xmguard.request import Scope

REMOVE = -math.inf
"""Epsilon that removes a span at read time while its keys stay in the cache."""


MAX_EPSILON = 20.0
"""Largest epsilon a request may ask for, in nats. e^20 is half a billion: past it a span drowns everything else."""


@dataclass(frozen=True)
class AttentionBias:
    """Epsilon in nats added to the attention logits of each named span (paper, Eq. 2). Spans not named get 0.

    A bias of all zeros leaves the model's output unchanged.
    """

    epsilon: Mapping[str, float] = field(default_factory=dict)
    scope: Scope = Scope.READERS

    @property
    def is_zero(self) -> bool:
        """Whether applying it changes nothing."""
        return all(value == 0.0 for value in self.epsilon.values())


@dataclass(frozen=True)
class RebalancePlan:
    """A policy's decision. Either a bias, or the reason why there is none; never neither."""

    bias: AttentionBias | None
    reason: str
    """One sentence for a person: why this bias, or why none."""
