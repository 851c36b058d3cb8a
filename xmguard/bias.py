"""What a rebalancing policy decides: a bias per span, in which heads, and who reads with it.

A bias is a constant epsilon per span, or a share rule that is solved for every row inside attention, where the row's
own shares are known, or both. Pure values; knows nothing of how an engine applies them.
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

MAX_SHARES = 0.999
"""Largest sum of target shares. What is left of 1 in float32 is the rest's share, and it must not vanish."""
MIN_SHARE = 1e-6
"""Smallest target share. Who wants less removes the span."""

HeadFactors = tuple[tuple[float, ...], ...]
"""Numbers from 0 to 1, indexed [layer][head]."""


@dataclass(frozen=True)
class TargetShares:
    """Every row attends to each named span with exactly this share of its attention (DESIGN's closed form).

    A row with share 0 on a span keeps it; its target goes to the keys of no named span.
    """

    shares: Mapping[str, float]
    """Span id to share, from `MIN_SHARE`; their sum is at most `MAX_SHARES`."""

    def __post_init__(self) -> None:
        if not self.shares or any(not share >= MIN_SHARE for share in self.shares.values()):
            raise ValueError(f"target shares are at least {MIN_SHARE:g}: {dict(self.shares)}")
        if not math.fsum(self.shares.values()) <= MAX_SHARES:
            raise ValueError(f"target shares sum to {math.fsum(self.shares.values())}; at most {MAX_SHARES:g}")

    @property
    def spans(self) -> frozenset[str]:
        """Ids that must be spans of the context."""
        return frozenset(self.shares)


@dataclass(frozen=True)
class FloorShares:
    """Every row attends to each named span with at least this part of the share of its most attended span."""

    minimum: Mapping[str, float]
    """Span id to a part of the largest span's share, above 0 to 1; 1 is parity, and nothing goes past it."""
    cap: float
    """Largest epsilon in nats, above 0. A row that would need more stays below the floor."""

    def __post_init__(self) -> None:
        if not self.minimum or any(not 0.0 < part <= 1.0 for part in self.minimum.values()):
            raise ValueError(f"floors are above 0 and at most 1: {dict(self.minimum)}")
        if not 0.0 < self.cap <= MAX_EPSILON:
            raise ValueError(f"a cap is above 0 and at most {MAX_EPSILON:g} nats, not {self.cap}")

    @property
    def spans(self) -> frozenset[str]:
        """Ids that must be spans of the context."""
        return frozenset(self.minimum)


@dataclass(frozen=True)
class SoftenShares:
    """Every row's shares of the spans, p, become proportional to p^(1 / temperature); their sum stays.

    Temperature 1 changes nothing; the larger it is, the nearer the spans come to equal shares.
    """

    temperature: float
    """At least 1."""

    def __post_init__(self) -> None:
        if not 1.0 <= self.temperature < math.inf:
            raise ValueError(f"a temperature is at least 1 and finite, not {self.temperature}")

    @property
    def spans(self) -> frozenset[str]:
        """It names no span: it acts on all."""
        return frozenset()


ShareRule = TargetShares | FloorShares | SoftenShares
"""Epsilons that differ from row to row, solved from the row's own attention after the constant epsilons."""


@dataclass(frozen=True)
class AttentionBias:
    """Epsilon in nats added to the attention logits of each named span (paper, Eq. 2). Spans not named get 0.

    A bias of all zeros leaves the model's output unchanged.
    """

    epsilon: Mapping[str, float] = field(default_factory=dict)
    scope: Scope = Scope.READERS
    rule: ShareRule | None = None
    heads: HeadFactors | None = None
    """Multiplies every epsilon, constant or solved, in each head; 0 leaves a head alone. None is 1 everywhere."""

    def __post_init__(self) -> None:
        if self.heads is not None and any(not 0.0 <= factor <= 1.0 for layer in self.heads for factor in layer):
            raise ValueError("head factors are from 0 to 1")

    @property
    def is_zero(self) -> bool:
        """Whether applying it changes nothing."""
        if self.heads is not None and not any(factor for layer in self.heads for factor in layer):
            return True
        return self.rule is None and all(value == 0.0 for value in self.epsilon.values())

    @property
    def spans(self) -> frozenset[str]:
        """Ids that must be spans of the context."""
        return frozenset(self.epsilon) | (self.rule.spans if self.rule else frozenset())


@dataclass(frozen=True)
class RebalancePlan:
    """A policy's decision. Either a bias, or the reason why there is none; never neither."""

    bias: AttentionBias | None
    reason: str
    """One sentence for a person: why this bias, or why none."""
