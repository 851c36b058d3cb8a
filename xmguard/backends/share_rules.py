"""Share rules of a bias solved for rows of one sequence, from the rows' own log-sum-exps.

Knows the rules and the order of the spans; knows nothing of engines, keys or what the rows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor

from xmguard.attention.shares import floor_epsilon, soften_epsilon, target_epsilon
from xmguard.bias import FloorShares, ShareRule, SoftenShares, TargetShares


@singledispatch
def solve(rule: ShareRule, lse: Tensor, sinks: Tensor | None, ids: Sequence[str], readable: Tensor) -> Tensor:
    """Epsilon of a rule in nats, as `lse`: [segment, batch, head, query].

    Args:
        rule: what is asked.
        lse: of one batch entry, its constant epsilons included.
        sinks: logit per head of an attention sink, [head].
        ids: span ids of segments 1, 2, ...
        readable: bool, broadcastable to `lse`: the spans that a row may steer.
    """
    raise TypeError(f"no solution is known for {type(rule).__name__}")


@solve.register
def _(rule: TargetShares, lse: Tensor, sinks: Tensor | None, ids: Sequence[str], readable: Tensor) -> Tensor:
    shares = _by_segment([rule.shares.get(span, 0.0) for span in ids], lse)
    return target_epsilon(lse, torch.where(readable, shares, 0.0), sinks)


@solve.register
def _(rule: FloorShares, lse: Tensor, sinks: Tensor | None, ids: Sequence[str], readable: Tensor) -> Tensor:
    minimum = _by_segment([rule.minimum.get(span, 0.0) for span in ids], lse)
    return floor_epsilon(lse, minimum, readable, lse.new_tensor(rule.cap))


@solve.register
def _(rule: SoftenShares, lse: Tensor, sinks: Tensor | None, ids: Sequence[str], readable: Tensor) -> Tensor:
    return soften_epsilon(lse, lse.new_tensor(rule.temperature), readable)


def _by_segment(values: Sequence[float], like: Tensor) -> Tensor:
    """[segment, 1, 1, 1]; the rest has 0."""
    return like.new_tensor([0.0, *values]).view(-1, 1, 1, 1)
