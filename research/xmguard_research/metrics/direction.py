"""Directional gap and modality disparity: does it matter which modality is the context and which holds the options?

Source: "XModBench: Benchmarking Cross-Modal Capabilities and Consistency in Omni-Language Models" (Wang et al. 2025),
directional imbalance and modality disparity. A direction a2b has the context in a and the options in b.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from xmguard_research.metrics.columns import require_equal_lengths

Direction: TypeAlias = tuple[str, str]
"""Modality of the context, modality of the options."""


def macro_accuracy(right: Sequence[bool], cells: Sequence[Hashable]) -> float | None:
    """Mean over cells (family, subtask) of the share that is right in each; None without rows.

    Raises:
        ValueError: the columns have different lengths.

    >>> macro_accuracy([True, True, True, False], ["count", "count", "count", "order"])
    0.5
    """
    require_equal_lengths(right=right, cells=cells)
    by_cell: dict[Hashable, list[bool]] = defaultdict(list)
    for is_right, cell in zip(right, cells, strict=True):
        by_cell[cell].append(is_right)
    return float(np.mean([np.mean(own) for own in by_cell.values()])) if by_cell else None


def directional_gap(accuracy: Mapping[Direction, float], a: str, b: str) -> float:
    """Acc[a2b] - Acc[b2a]; 0 is consistent. Accuracies are `macro_accuracy`'s.

    Raises:
        ValueError: a direction has no accuracy.

    >>> directional_gap({("text", "image"): 0.75, ("image", "text"): 0.5}, "text", "image")
    0.25
    """
    return _of(accuracy, a, b) - _of(accuracy, b, a)


def modality_disparity(accuracy: Mapping[Direction, float], x: str, y: str, third: str) -> float:
    """Disparity of y against x: (Acc[z2y] - Acc[z2x]) + (Acc[y2z] - Acc[x2z]), z the third modality.

    Positive means that more is right when the same content comes in y than in x. With x, y, z = T, V, A it is the
    source's T vs V, and cyclic for the other pairs.

    Raises:
        ValueError: a direction has no accuracy.

    >>> accuracy = {("a", "v"): 0.5, ("a", "t"): 0.75, ("v", "a"): 0.25, ("t", "a"): 0.5}
    >>> modality_disparity(accuracy, "t", "v", third="a")
    -0.5
    """
    options = _of(accuracy, third, y) - _of(accuracy, third, x)
    return options + _of(accuracy, y, third) - _of(accuracy, x, third)


def _of(accuracy: Mapping[Direction, float], context: str, options: str) -> float:
    if (context, options) not in accuracy:
        raise ValueError(f"no accuracy for the direction from {context} to {options}")
    return accuracy[context, options]
