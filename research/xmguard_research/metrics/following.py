"""Text following rate, on items where both modalities are understood alone.

Source: "When Modalities Conflict: How Unimodal Reasoning Uncertainty Governs Preference Dynamics in MLLMs"
(arXiv 2511.02243), the metric TFR; the visual following rate is 1 - TFR.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from xmguard_research.metrics.columns import require_equal_lengths


@dataclass(frozen=True)
class Following:
    """Counts over the items that are right in both unimodal runs."""

    text: int
    """Y = Y_t."""
    image: int
    """Y = Y_v."""
    other: int
    """Y is neither: not in the rate."""
    not_understood: int
    """Items that are wrong in at least one unimodal run: not in the rate."""

    @property
    def rate(self) -> float | None:
        """TFR = |Y = Y_t| / |Y in {Y_v, Y_t}|; None if no item follows either."""
        return self.text / (self.text + self.image) if self.text + self.image else None


def text_following_rate(
    joint: Sequence[Hashable],
    image_only: Sequence[Hashable],
    text_only: Sequence[Hashable],
    image_right: Sequence[bool],
    text_right: Sequence[bool],
) -> Following:
    """Which modality the joint answers Y follow, on items that are right in both unimodal runs.

    Answers are compared as they are given: normalise free text first.

    Args:
        joint: Y, with both modalities there.
        image_only: Y_v, from the image alone.
        text_only: Y_t, from the text alone.
        image_right: whether Y_v is what the image says.
        text_right: whether Y_t is what the text says.

    Raises:
        ValueError: the columns have different lengths, or an item is right twice with one answer: it is no conflict.

    >>> found = text_following_rate("ABCA", "BBBB", "AAAA", [True] * 4, [True, True, True, False])
    >>> found, found.rate
    (Following(text=1, image=1, other=1, not_understood=1), 0.5)
    """
    require_equal_lengths(
        joint=joint, image_only=image_only, text_only=text_only, image_right=image_right, text_right=text_right
    )
    understood = [
        (said, seen, read)
        for said, seen, read, *right in zip(joint, image_only, text_only, image_right, text_right, strict=True)
        if all(right)
    ]
    if alike := [seen for _, seen, read in understood if seen == read]:
        raise ValueError(f"{len(alike)} items have one right answer by text and image, {alike[0]!r}: leave them out")
    text = sum(said == read for said, _, read in understood)
    image = sum(said == seen for said, seen, _ in understood)
    return Following(text, image, len(understood) - text - image, len(joint) - len(understood))
