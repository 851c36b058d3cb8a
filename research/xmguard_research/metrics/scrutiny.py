"""Input scrutiny: are flawed premises noticed unasked, and when asked to look for them? Whom is trusted in a conflict?

Source: "Can Large Multimodal Models Actively Recognize Faulty Inputs?" (ISEval, arXiv 2508.04017): SEDR, GEDR and MTPS.
Its two kinds of prompts are our Standard and Instructed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

Preference = Literal["image", "text", "none"]


class ErrorDetection(NamedTuple):
    """Shares of the items with a flawed premise of which the response names the flaw."""

    sedr: float | None
    """Spontaneous error detection rate: spontaneous detections / uninstructed items."""
    gedr: float | None
    """Guided error detection rate: guided detections / instructed items."""


def error_detection(uninstructed: Sequence[bool], instructed: Sequence[bool]) -> ErrorDetection:
    """SEDR and GEDR; True is a detected flaw. The two need not be of the same items. None where there are none.

    >>> error_detection([False, True, False, False], [True, True])
    ErrorDetection(sedr=0.25, gedr=1.0)
    """
    sedr, gedr = (sum(found) / len(found) if found else None for found in (uninstructed, instructed))
    return ErrorDetection(sedr, gedr)


class ModalityTrust(NamedTuple):
    """MTPS = (N_V / N, N_T / N); the two sum to less than 1 where there is no preference."""

    image: float | None
    text: float | None


def modality_trust(preferences: Sequence[Preference]) -> ModalityTrust:
    """Modality trust preference score: whose content the response goes by when they differ.

    N includes items without a preference. None where there are no items.

    Raises:
        ValueError: a preference is not one of the three.

    >>> modality_trust(["text", "text", "image", "none"])
    ModalityTrust(image=0.25, text=0.5)
    """
    counts = Counter(preferences)
    if unknown := sorted(set(counts) - {"image", "text", "none"}):
        raise ValueError(f"{unknown[0]!r} is no preference; give 'image', 'text' or 'none'")
    total = len(preferences)
    return ModalityTrust(counts["image"] / total, counts["text"] / total) if total else ModalityTrust(None, None)
