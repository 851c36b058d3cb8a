"""Text preference ratio: whose answer does a model give when a text and a picture are there together?

Source: "Words or Vision: Do Vision-Language Models Have Blind Faith in Text?" (Deng et al. 2025), the metric TPR.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from xmguard_research.metrics.columns import require_equal_lengths


class Follows(Enum):
    """Which answer to one source alone the joint answer equals."""

    TEXT = "text"
    IMG = "img"
    BOTH = "both"
    NEITHER = "neither"


class TextPreference(NamedTuple):
    """Counts of joint answers, and text / (text + img)."""

    text: int
    """Equal to the text-only answer and not to the image-only one."""
    img: int
    """Equal to the image-only answer and not to the text-only one."""
    both: int
    neither: int
    """Always to be shown: exact match leaves up to half of the answers here."""
    ratio: float | None
    """None if no answer tells the two apart, that is, text and img are 0."""


def text_preference_ratio(joint: Sequence[str], image_only: Sequence[str], text_only: Sequence[str]) -> TextPreference:
    """TPR = text / (text + img), with the answers that are in neither count of it.

    Answers are compared lower-cased, stripped, and with the final full stop removed, in this order: one full stop, and
    nothing is stripped after it. (The authors' notebook removes several final full stops; on the 18 conditions whose
    outputs they published the counts are the same.)

    Raises:
        ValueError: the columns have different lengths.

    >>> text_preference_ratio(["Surfing.", "cat", "two", "red"], ["Skiing", "Cat", "two", "blue"],
    ...                       ["surfing ", "dog", "two", "green"])
    TextPreference(text=1, img=1, both=1, neither=1, ratio=0.5)
    """
    counts = Counter(followed(joint, image_only, text_only))
    text, img = counts[Follows.TEXT], counts[Follows.IMG]
    ratio = text / (text + img) if text + img else None
    return TextPreference(text, img, counts[Follows.BOTH], counts[Follows.NEITHER], ratio)


def followed(joint: Sequence[str], image_only: Sequence[str], text_only: Sequence[str]) -> list[Follows]:
    """The same, answer by answer: what an interval is drawn from.

    Raises:
        ValueError: the columns have different lengths.

    >>> followed(["Yes.", "no"], ["yes", "yes"], ["no", "no"])
    [<Follows.IMG: 'img'>, <Follows.TEXT: 'text'>]
    """
    require_equal_lengths(joint=joint, image_only=image_only, text_only=text_only)
    kinds = {
        (True, False): Follows.TEXT,
        (False, True): Follows.IMG,
        (True, True): Follows.BOTH,
        (False, False): Follows.NEITHER,
    }
    return [
        kinds[_compared(said) == _compared(from_text), _compared(said) == _compared(from_image)]
        for said, from_image, from_text in zip(joint, image_only, text_only, strict=True)
    ]


def _compared(answer: str) -> str:
    return answer.lower().strip().removesuffix(".")
