"""Contribution of a span: how much it writes to the residual stream, as one number.

Source: the paper, section 3 (Eq. 1; mean over layers and heads), footnote 1 and section F (some layers are not task
relevant). It is the norm of a sum: tokens that oppose each other cancel. It is a proxy: equal norms are not the goal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xmguard_research.metrics.amounts import amounts


def contribution(norms: ArrayLike, weights: ArrayLike | None = None) -> float | None:
    """Mean of ||u_k||_2 over reader rows, layers and heads, u_k = W_O^h sum_{j in C_k} w_tj v_j.

    Args:
        norms: ||u_k||_2 of one span, [..., layer, head]; leading axes, such as reader rows, are averaged too.
        weights: of each layer and head, [layer, head], from a calibration profile; None counts all alike. They are
            relative: None is the same as any constant.

    Returns:
        sum of weight * norm / sum of weight; None if there is nothing to average, or all weights are 0.

    Raises:
        ValueError: a norm or weight is negative or not finite, or weights are not of the norms' layers and heads.

    >>> contribution([[1.0, 3.0], [2.0, 6.0]])
    3.0
    >>> contribution([[1.0, 3.0], [2.0, 6.0]], weights=[[0, 0], [1, 1]])
    4.0
    """
    (measured,) = amounts(norms=norms)
    if measured.ndim < 2:
        raise ValueError(f"norms of shape {measured.shape} have no axes for layer and head")
    (factors,) = amounts(weights=np.ones(measured.shape[-2:]) if weights is None else weights)
    if factors.shape != measured.shape[-2:]:
        raise ValueError(f"weights {factors.shape} are not of the layers and heads {measured.shape[-2:]} of the norms")
    if not measured.size or not factors.any():
        return None
    return float(np.average(measured, weights=np.broadcast_to(factors, measured.shape)))


def contribution_ratio(norm: float, other: float) -> float | None:
    """||u_a|| / ||u_b||: how many times as much one span contributes as another; None if the other contributes nothing.

    Source: the paper, section 3 and Figure 4, which compares the two norms.

    Raises:
        ValueError: a norm is negative or not finite.

    >>> contribution_ratio(3.0, 1.5)
    2.0
    """
    amounts(norm=norm, other=other)
    return norm / other if other else None
