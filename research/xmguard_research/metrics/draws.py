"""What metrics share that are computed on every draw of a bootstrap at once.

A draw is a multiplicity per row, so that two numbers can be compared under the same draws and no row is copied. Knows
neither items nor how draws are made; that is `bootstrap`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Metric: TypeAlias = Callable[[Array, Array, Array], Array]
"""(label 0 or 1 [row], value [row], multiplicity [draw, row]) to the number [draw]; nan where it is undefined."""


def by_value(labels: Array, values: Array, times: Array) -> tuple[Array, Array]:
    """Multiplicity of rows labelled 1 and of the others at each distinct value, ascending: [draw, distinct value].

    >>> import numpy as np
    >>> ones, others = by_value(np.array([1.0, 0.0, 0.0]), np.array([0.7, 0.7, 0.2]), np.array([[1.0, 1.0, 2.0]]))
    >>> ones.tolist(), others.tolist()
    ([[0.0, 1.0]], [[2.0, 1.0]])
    """
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf))
    sorted_times, sorted_labels = times[:, order], labels[order]
    return (
        np.add.reduceat(sorted_times * sorted_labels, starts, axis=1),
        np.add.reduceat(sorted_times * (1.0 - sorted_labels), starts, axis=1),
    )
