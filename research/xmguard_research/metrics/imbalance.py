"""Attention imbalance between two groups of spans, such as two languages or two modalities.

Source: the paper, section 3, Figures 4 and 6, which report norms. The logarithm is ours, the paper states no formula.
Norms are confounded with length and with image resolution, so everything is given per token too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xmguard_research.metrics.amounts import amounts
from xmguard_research.metrics.columns import require_equal_lengths
from xmguard_research.metrics.contributions import contribution_ratio


@dataclass(frozen=True)
class Imbalance:
    """Of group a against group b; positive means that a contributes more, and 0 that the two are balanced."""

    gap: float | None
    """Mean norm of a minus that of b."""
    log_ratio: float | None
    """log(mean norm of a / mean norm of b), nats; None if either is 0."""
    gap_per_token: float | None
    log_ratio_per_token: float | None


def attention_imbalance(
    norms_a: Sequence[float], tokens_a: Sequence[int], norms_b: Sequence[float], tokens_b: Sequence[int]
) -> Imbalance:
    """log(||u_a|| / ||u_b||) and ||u_a|| - ||u_b|| of the mean norms, and of the mean norms per token.

    Args:
        norms_a: contribution of each span of group a.
        tokens_a: length of each of these spans, tokens. A span's norm per token is its norm / its tokens.
        norms_b: the same of group b.
        tokens_b: the same of group b.

    Returns:
        All None if a group has no span.

    Raises:
        ValueError: a norm is negative or not finite, a span has no tokens, or norms and tokens differ in number.

    >>> found = attention_imbalance([4.0, 8.0], [2, 4], [3.0], [6])
    >>> found.gap, round(found.log_ratio, 4), found.gap_per_token, round(found.log_ratio_per_token, 4)
    (3.0, 0.6931, 1.5, 1.3863)
    """
    require_equal_lengths(norms_a=norms_a, tokens_a=tokens_a)
    require_equal_lengths(norms_b=norms_b, tokens_b=tokens_b)
    a, length_a, b, length_b = amounts(norms_a=norms_a, tokens_a=tokens_a, norms_b=norms_b, tokens_b=tokens_b)
    if not (length_a.all() and length_b.all()):
        raise ValueError("a span has 0 tokens: it has no contribution per token")
    if not (a.size and b.size):
        return Imbalance(None, None, None, None)
    whole, per_token = (a.mean(), b.mean()), ((a / length_a).mean(), (b / length_b).mean())
    return Imbalance(
        float(whole[0] - whole[1]), _log_ratio(*whole), float(per_token[0] - per_token[1]), _log_ratio(*per_token)
    )


def _log_ratio(norm: float, other: float) -> float | None:
    ratio = contribution_ratio(norm, other)
    return math.log(ratio) if ratio else None
