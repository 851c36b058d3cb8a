"""Directed contribution: which answer a span pushes toward, where its norm only says how much it writes.

Source: ours, for the task-relevant subspace that the paper's footnote 1 and section F ask for.
"""

from __future__ import annotations

from collections.abc import Sequence

from xmguard_research.metrics.columns import require_equal_lengths


def directed_preference(toward_a: Sequence[float], toward_b: Sequence[float]) -> list[float]:
    """Which of two answers each span pushes toward, nats: positive is A.

    By linearity the projection of u_k on W_U(A) - W_U(B) is what span k adds to the logit of A minus what it adds to
    that of B, each the sum over layers and heads, mean per token of the answer (`DirectedContribution.toward`).

    Raises:
        ValueError: the columns have different lengths.

    >>> directed_preference([2.0, 0.5], [0.5, 1.5])
    [1.5, -1.0]
    """
    require_equal_lengths(toward_a=toward_a, toward_b=toward_b)
    return [of_a - of_b for of_a, of_b in zip(toward_a, toward_b, strict=True)]
