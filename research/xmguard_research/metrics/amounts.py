"""Amounts: numbers that are finite and not below 0, or it is said which is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xmguard_research.metrics.draws import Array


def amounts(**named: ArrayLike) -> list[Array]:
    """Arrays of the named numbers, in the order in which they are given.

    Raises:
        ValueError: one is negative or not finite.

    >>> amounts(norms=[0.5, -1.0])
    Traceback (most recent call last):
    ValueError: norms must be finite and at least 0, one is -1.0
    """
    found = []
    for name, values in named.items():
        array = np.asarray(values, dtype=np.float64)
        wrong = array[~(np.isfinite(array) & (array >= 0.0))]
        if wrong.size:
            raise ValueError(f"{name} must be finite and at least 0, one is {float(wrong[0])}")
        found.append(array)
    return found
