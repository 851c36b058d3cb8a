"""Modality dominance (MDI) and attention efficiency (AEI): attention to a modality against its number of tokens.

Source: "When Language Overrules" (arXiv 2508.10552). Re-implementations disagree on layers and on special tokens. Our
choice: attention is the mean over generated tokens, heads and the layers of a group; groups are thirds of the
layers, and all of them; special and template tokens belong to neither modality, and what they receive is left out by
normalising A_T + A_O to 1. Both indices drift with image resolution, so shares and token counts stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmguard_research.metrics.amounts import amounts


@dataclass(frozen=True)
class Dominance:
    """Attention of generated tokens to the text T and to the other modality O of the prompt."""

    text: float
    """Attention mass on the text, as it was given."""
    other: float
    """The same on the other modality."""
    text_tokens: int
    other_tokens: int

    @property
    def text_share(self) -> float | None:
        """A_T, with A_T + A_O = 1; None if neither gets any attention."""
        return self.text / (self.text + self.other) if self.text + self.other else None

    @property
    def mdi(self) -> float | None:
        """(A_T / |T|) / (A_O / |O|); above 1 is dominance of the text. None if O gets no attention."""
        return (self.text / self.text_tokens) / (self.other / self.other_tokens) if self.other else None

    @property
    def aei_text(self) -> float | None:
        """(A_T / (A_T + A_O)) / (|T| / (|T| + |O|)): share of attention over share of tokens."""
        return self._efficiency(self.text, self.text_tokens)

    @property
    def aei_other(self) -> float | None:
        """The same of the other modality."""
        return self._efficiency(self.other, self.other_tokens)

    def _efficiency(self, mass: float, tokens: int) -> float | None:
        masses = self.text + self.other
        return (mass / masses) / (tokens / (self.text_tokens + self.other_tokens)) if masses else None


def modality_dominance(text: float, other: float, text_tokens: int, other_tokens: int) -> Dominance:
    """MDI and AEI from the attention mass on each modality and its length in tokens.

    Args:
        text: mean attention mass on the text's tokens, at least 0; need not sum to 1 with `other`.
        other: the same on the tokens of the other modality.
        text_tokens: |T|.
        other_tokens: |O|.

    Raises:
        ValueError: a mass is negative or not finite, or a modality has no tokens.

    >>> found = modality_dominance(0.3, 0.3, 20, 100)
    >>> found.text_share, found.mdi, found.aei_text, found.aei_other
    (0.5, 5.0, 3.0, 0.6)
    """
    amounts(text=text, other=other)
    if min(text_tokens, other_tokens) < 1:
        raise ValueError(f"both modalities need tokens: there are {text_tokens} of text, {other_tokens} of the other")
    return Dominance(text, other, text_tokens, other_tokens)


@dataclass(frozen=True)
class Depths:
    """Means over the first, middle and last third of the layers, and over all."""

    early: float
    middle: float
    late: float
    all: float


def by_depth(layers: Sequence[float]) -> Depths:
    """Means of a number that every layer has; where thirds are not whole, earlier ones have the layer more.

    Average masses with it and compute MDI from the averages, not the other way round.

    Raises:
        ValueError: there are fewer than three layers.

    >>> by_depth([1.0, 3.0, 4.0, 6.0, 9.0])
    Depths(early=2.0, middle=5.0, late=9.0, all=4.6)
    """
    if len(layers) < 3:
        raise ValueError(f"{len(layers)} layers have no thirds")
    early, middle, late = (float(np.mean(part)) for part in np.array_split(np.array(layers), 3))
    return Depths(early, middle, late, float(np.mean(layers)))
