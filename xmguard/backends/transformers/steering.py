"""The biases of a batch of branches as tensors, and the epsilon they come to in each layer.

Constant epsilons are the same for every row; share rules are solved from the rows' own log-sum-exps. Knows nothing of
keys, caches or what the rows are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xmguard.attention.flash import shared_mask, unseen
from xmguard.backends.share_rules import solve
from xmguard.backends.transformers.compact_context import CompactContext, sees_little
from xmguard.backends.transformers.context_keys import ContextKeys
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.bias import AttentionBias
from xmguard.context import SpanMap


class Steering:
    """Biases of the entries of one batch; see `steer`."""

    def __init__(
        self, loaded: LoadedModel, biases: Sequence[AttentionBias], span_map: SpanMap, readable: Tensor | None
    ) -> None:
        ids = span_map.ids
        device = loaded.model.device
        columns = [[0.0, *(bias.epsilon.get(span, 0.0) for span in ids)] for bias in biases]
        self._ids = ids
        self._heads = loaded.heads
        self._readable = _every_span(len(ids), device) if readable is None else readable
        constant = torch.tensor(columns, device=device).T[..., None, None]
        self._constant = torch.where(self._readable, constant, 0.0)  # [segment, batch, 1, 1 or query]
        self._rules = [(row, bias.rule) for row, bias in enumerate(biases) if bias.rule is not None]
        self._factors = None
        if any(bias.heads is not None for bias in biases):
            self._factors = torch.stack([_factors(bias, loaded) for bias in biases], dim=1).to(device)
        self._masks: dict[tuple[ContextKeys, int, int], Tensor | None] = {}
        self._unseen: dict[tuple[ContextKeys, int], Tensor | None] = {}
        self._compact: dict[ContextKeys, CompactContext | None] = {}

    @property
    def is_constant(self) -> bool:
        """Whether no epsilon depends on what a row attends to."""
        return not self._rules

    def constant(self, layer: int) -> Tensor:
        """Constant epsilons in nats, broadcastable to [segment, batch, head, query].

        Raises:
            ValueError: if a rule has to be solved.
        """
        if not self.is_constant:
            raise ValueError("a share rule has no epsilon before the row's shares are known")
        return self._in_heads(layer, self._constant)

    def epsilon(self, layer: int, lse: Tensor, sinks: Tensor | None) -> Tensor:
        """Nats, broadcastable to [segment, batch, head, query].

        Args:
            layer: from 0.
            lse: nats without bias, [segment, batch, head, query].
            sinks: logit per head of an attention sink, [head].
        """
        if self.is_constant:
            return self.constant(layer)
        epsilon = self._in_heads(layer, self._constant).expand_as(lse).clone()
        for row, rule in self._rules:
            own = slice(row, row + 1)
            solved = solve(rule, lse[:, own] + epsilon[:, own], sinks, self._ids, self._readable)
            epsilon[:, own] += self._in_heads(layer, solved, own)
        return epsilon

    def context_mask(self, layer: int, context: ContextKeys, rows: int) -> Tensor | None:
        """Constant epsilons as the mask of a shared block of keys (`flash`); made once, they do not change by step.

        Args:
            layer: from 0.
            context: the block.
            rows: query rows per head.
        """
        name = (context, layer if self._factors is not None else 0, rows)
        if name not in self._masks:
            epsilon = self._in_heads(layer, self._constant)[..., 0]
            kv_heads = context.keys[layer].shape[1]
            self._masks[name] = shared_mask(epsilon, context.segment_of_key, kv_heads, self._heads, rows)
        return self._masks[name]

    def compact(self, context: ContextKeys) -> CompactContext | None:
        """What the branches see of a context where constant epsilons remove most of it for each; None elsewhere."""
        if context not in self._compact:
            removed = (self._constant == -torch.inf).all(dim=-1)[:, :, 0]  # [segment, batch]
            by_branch = [set(column.nonzero().flatten().tolist()) for column in removed.unbind(1)]
            little = self._factors is None and all(sees_little(segments, context) for segments in by_branch)
            self._compact[context] = CompactContext(context, self._constant[..., 0, 0]) if little else None
        return self._compact[context]

    def unseen(self, layer: int, context: ContextKeys) -> Tensor | None:
        """Rows for which constant epsilons remove all of a context, bool [batch, 1 or head]."""
        name = (context, layer if self._factors is not None else 0)
        if name not in self._unseen:
            self._unseen[name] = unseen(self._in_heads(layer, self._constant)[..., 0], context.present)
        return self._unseen[name]

    def _in_heads(self, layer: int, epsilon: Tensor, own: slice = slice(None)) -> Tensor:
        if self._factors is None:
            return epsilon
        factors = self._factors[layer, own].unsqueeze(-1)  # [batch, head, 1]
        return torch.where(factors > 0, epsilon * factors, 0.0)  # -inf times 0 leaves the head alone


def steer(
    loaded: LoadedModel, biases: Sequence[AttentionBias], span_map: SpanMap, readable: Tensor | None = None
) -> Steering | None:
    """Biases as tensors, or None when none of them changes anything.

    Args:
        loaded: the model that is steered.
        biases: one per batch entry.
        span_map: its ids are segments 1, 2, ...
        readable: bool [segment, 1, 1, query]: the spans that a row may steer; None is every span.

    Raises:
        ValueError: head factors of another shape than the model's.
    """
    if all(bias.is_zero for bias in biases):
        return None
    return Steering(loaded, biases, span_map, readable)


def _every_span(spans: int, device: torch.device) -> Tensor:
    return (torch.arange(spans + 1, device=device) > 0).view(-1, 1, 1, 1)


def _factors(bias: AttentionBias, loaded: LoadedModel) -> Tensor:
    """[layer, head]."""
    shape = (loaded.layers, loaded.heads)
    factors = torch.ones(shape) if bias.heads is None else torch.tensor(bias.heads)
    if factors.shape != shape:
        raise ValueError(f"head factors are for {list(factors.shape)} layers and heads, the model has {list(shape)}")
    return factors
