"""The bias of one request as tensors, and the epsilon that it comes to in each layer for rows of one sequence.

Knows nothing of keys, caches or batches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xmguard.backends.share_rules import solve
from xmguard.backends.vllm.spec import ReadingSpec


class Steering:
    """Epsilons for rows of a request.

    Args:
        spec: what the request asks for.
        layers: of the model.
        heads: of the model.
        own: those of the heads that this worker computes.

    Raises:
        ValueError: head factors of another shape than the model's.
    """

    def __init__(self, spec: ReadingSpec, layers: int, heads: int, own: slice) -> None:
        bias, spans = spec.bias, spec.span_map
        self._ids = spans.ids
        self._rule = bias.rule
        self._constant = torch.tensor([0.0, *(bias.epsilon.get(name, 0.0) for name in spans.ids)]).view(-1, 1, 1, 1)
        # No position reads the rest with a bias.
        firsts = [torch.iinfo(torch.long).max, *(spec.first_reader(span) for span in spans)]
        self._firsts = torch.tensor(firsts).view(-1, 1, 1, 1)
        self._factors = None
        if bias.heads is not None:
            factors = torch.tensor(bias.heads)
            if factors.shape != (layers, heads):
                shapes = f"{list(factors.shape)} layers and heads, the model has {[layers, heads]}"
                raise ValueError(f"head factors are for {shapes}")
            self._factors = factors[:, own]

    @property
    def follows_shares(self) -> bool:
        """Whether a row's epsilons depend on its own log-sum-exps."""
        return self._rule is not None

    @property
    def constants(self) -> tuple[Tensor, Tensor]:
        """Constant epsilons in nats, and the first positions that read with them; [segment] each."""
        return self._constant.view(-1), self._firsts.view(-1)

    @property
    def has_head_factors(self) -> bool:
        """Whether heads differ."""
        return self._factors is not None

    def head_factors(self, layer: int) -> Tensor:
        """What the epsilons of a layer are multiplied by, [head]."""
        if self._factors is None:
            raise ValueError("every head reads alike")
        return self._factors[layer]

    def constant(self, position: int) -> Tensor | None:
        """Epsilons in nats of a row in every layer and head, [segment]; None where they differ."""
        if self._rule is not None or self._factors is not None:
            return None
        return torch.where(position >= self._firsts, self._constant, 0.0).flatten()

    def epsilon(self, layer: int, lse: Tensor, positions: Tensor, sinks: Tensor | None) -> Tensor:
        """Nats, as `lse`.

        Args:
            layer: from 0.
            lse: of the segments without bias in nats, [segment, 1, head, row].
            positions: of the rows, [row].
            sinks: logit per head of an attention sink, [head].
        """
        readable = positions >= self._firsts
        epsilon = self._in_heads(layer, torch.where(readable, self._constant, 0.0)).expand_as(lse)
        if self._rule is None:
            return epsilon
        solved = solve(self._rule, lse + epsilon, sinks, self._ids, readable)
        return epsilon + self._in_heads(layer, solved)

    def _in_heads(self, layer: int, epsilon: Tensor) -> Tensor:
        if self._factors is None:
            return epsilon
        factors = self._factors[layer].view(-1, 1)
        return torch.where(factors > 0, epsilon * factors, 0.0)  # -inf times 0 leaves the head alone
