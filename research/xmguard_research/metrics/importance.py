"""Modality importance score (MIS): what a modality is worth to one question.

Source: "Assessing Modality Bias in Video Question Answering Benchmarks with Multimodal Large Language Models" (Park et
al., arXiv 2408.12763).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np


def modality_importance(accuracy: Mapping[frozenset[str], float], modality: str) -> float | None:
    """Mean accuracy over the subsets of modalities with m, minus that over the subsets without it; of one question.

    Args:
        accuracy: of the question for every subset of modalities that was shown, right as 1 and wrong as 0 or a mean of
            such. Every subset but the empty one must be there, or the means would compare unlike things; the empty one
            (the question alone) counts as one without m if it is there.
        modality: m.

    Returns:
        In [-1, 1]; above 0, m helps. None if no subset is without m.

    Raises:
        ValueError: a subset is missing, the modality is in none, or an accuracy is not in [0, 1].

    >>> text, image = frozenset({"text"}), frozenset({"image"})
    >>> modality_importance({text: 1.0, image: 0.0, text | image: 1.0}, "text")
    1.0
    """
    modalities = sorted(frozenset().union(*accuracy))
    if modality not in modalities:
        raise ValueError(f"{modality!r} is in no subset of {modalities}")
    needed = [frozenset(chosen) for size in range(1, len(modalities) + 1) for chosen in combinations(modalities, size)]
    if missing := [sorted(subset) for subset in needed if subset not in accuracy]:
        raise ValueError(f"no accuracy for the subset {missing[0]}; MIS needs all but the empty one")
    if wrong := [value for value in accuracy.values() if not 0.0 <= value <= 1.0]:
        raise ValueError(f"an accuracy is {wrong[0]}, not a share between 0 and 1")
    with_it, without = (
        [value for subset, value in accuracy.items() if (modality in subset) is there] for there in (True, False)
    )
    return float(np.mean(with_it) - np.mean(without)) if without else None
