"""Contributions and attention masses per layer, head and span, and the numbers derived from them.

Formulas are those of the paper's Eq. 1 and section 3: u_k = W_O^h sum_{j in C_k} w_j v_j, summarised by the mean of
||u_k||_2 over layers, heads and rows. Standard library only; engines hand over plain nested tuples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from xmguard.context import SpanMap

Cube = tuple[tuple[tuple[float, ...], ...], ...]
"""Numbers indexed [layer][head][segment]; segment 0 is everything that is no span, segment k + 1 is span k."""


@dataclass(frozen=True)
class Measurement:
    """Means over `rows` query positions of one forward pass."""

    span_map: SpanMap
    norms: Cube
    """Mean of ||u_k||_2 over the rows."""
    masses: Cube
    """Mean attention mass over the rows; sums to 1 over segments (attention sinks aside)."""
    rows: int
    """How many query positions were averaged. 0 means that nothing was measured."""
    epsilons: Cube = ()
    """Mean epsilon applied over the rows, nats; 0 for the rest. Empty where nothing was applied."""

    @cached_property
    def contributions(self) -> dict[str, float]:
        """Span id to the mean of ||u_k|| over layers, heads and rows."""
        return {span: self._mean(self.norms, k + 1) for k, span in enumerate(self.span_map.ids)}

    @cached_property
    def rest(self) -> float:
        """The same mean for everything that is no span."""
        return self._mean(self.norms, 0)

    @cached_property
    def attention(self) -> dict[str, float]:
        """Span id to mean attention mass."""
        return {span: self._mean(self.masses, k + 1) for k, span in enumerate(self.span_map.ids)}

    @cached_property
    def epsilon(self) -> dict[str, float]:
        """Span id to the mean epsilon applied, nats."""
        if not self.epsilons:
            return dict.fromkeys(self.span_map.ids, 0.0)
        return {span: self._mean(self.epsilons, k + 1) for k, span in enumerate(self.span_map.ids)}

    @cached_property
    def shares(self) -> dict[str, float]:
        """Span id to its share of the contributions of all spans and the rest."""
        total = self.rest + sum(self.contributions.values())
        return {span: value / total if total else 0.0 for span, value in self.contributions.items()}

    @property
    def rest_share(self) -> float:
        """Share of everything that is no span; with `shares` it sums to 1."""
        total = self.rest + sum(self.contributions.values())
        return self.rest / total if total else 0.0

    @property
    def log_ratio(self) -> float | None:
        """log(largest / smallest contribution) over spans, in nats; None when it is not defined."""
        return self._log_ratio(lambda span, tokens: self.contributions[span])

    @property
    def log_ratio_per_token(self) -> float | None:
        """The same of contribution / tokens, because norms are confounded with span length."""
        return self._log_ratio(lambda span, tokens: self.contributions[span] / tokens)

    def heads(self, layer: int, span_id: str) -> tuple[float, ...]:
        """Mean norms of one span in one layer, per head."""
        segment = self.span_map.ids.index(span_id) + 1
        return tuple(head[segment] for head in self.norms[layer])

    def _log_ratio(self, value: Callable[[str, int], float]) -> float | None:
        values = [value(span.span_id, len(span)) for span in self.span_map]
        if len(values) < 2 or min(values) <= 0.0:
            return None
        return math.log(max(values) / min(values))

    @staticmethod
    def _mean(cube: Cube, segment: int) -> float:
        heads = [head[segment] for layer in cube for head in layer]
        if not heads:
            raise ValueError("nothing was measured: rows is 0")
        return math.fsum(heads) / len(heads)


@dataclass(frozen=True)
class DirectedContribution:
    """Logits that segments add to the tokens of an answer on the direct path, mean per token (metrics.md)."""

    span_map: SpanMap
    logits: Cube
    """Nats; the sum over layers and heads is what a segment adds."""
    tokens: int
    """How many tokens the answer has."""

    @cached_property
    def toward(self) -> dict[str, float]:
        """Span id to the nats of logit it adds, sum over layers and heads, mean per token."""
        return {
            span: math.fsum(head[k + 1] for layer in self.logits for head in layer)
            for k, span in enumerate(self.span_map.ids)
        }
