"""The numbers of "When Modalities Conflict" of a run: text following rate and balance point, for each order.

TFR counts only what is right in both unimodal runs. Relative uncertainty is of the entropies that models of ours
report with an answer from one source; other models have no balance point. It is of items that are understood alone, and
says so in its name: the analysis `balance` fits every conflict whose answer follows a source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xmguard_research.benchmarks.derived import UNDEFINED, Number
from xmguard_research.benchmarks.summary import Row
from xmguard_research.metrics import (
    Bootstrap,
    Following,
    balance_point,
    relative_uncertainty,
    share,
    text_following_rate,
)

ORDERS = {"image first": "image", "text first": "text"}
_RESAMPLES = 500
"""Of the balance point: every draw is a fit."""


@dataclass(frozen=True)
class _Joint:
    """What a response to both modalities said, and what the same model said of each alone."""

    item: str
    image: str
    text: str
    said: str
    """`image`, `text` or `neither`."""
    image_right: bool
    text_right: bool
    uncertainty: float | None
    """Relative, of the text against the image."""

    @property
    def understood(self) -> bool:
        return self.image_right and self.text_right


def numbers(rows: Sequence[Row]) -> list[Number]:
    """TFR and balance point of each order, and TFR of each pair of tiers."""
    made = []
    for order, first in ORDERS.items():
        joint = list(_joint(rows, first))
        if joint:
            made += [
                _following(f"TFR, {order}", joint),
                _balance(f"balance point of what is understood, {order}", joint),
            ]
            cells: dict[tuple[str, str], list[_Joint]] = {}
            for one in joint:
                cells.setdefault((one.image, one.text), []).append(one)
            made += [_following(f"TFR, {order}, {image}, {text}", own) for (image, text), own in cells.items()]
    return made


def _joint(rows: Sequence[Row], first: str) -> Iterator[_Joint]:
    by_measure: dict[str, dict[tuple[str, str], Row]] = {"names_picture_value": {}, "names_text_value": {}}
    for row in rows:
        if row.key.measure in by_measure:
            by_measure[row.key.measure][row.item, row.key.variant] = row
    seen, read = by_measure["names_picture_value"], by_measure["names_text_value"]
    for (item, variant), row in seen.items():
        parts = variant.split(" + ")
        if len(parts) != 2 or not variant.startswith(first) or (item, variant) not in read:
            continue
        image, text = sorted(parts)
        alone, told = seen.get((item, image)), read.get((item, text))
        if alone is None or told is None:
            continue
        said = "image" if row.found else "text" if read[item, variant].found else "neither"
        uncertainty = _uncertainty(told.amounts, alone.amounts)
        yield _Joint(item, image, text, said, bool(alone.found), bool(told.found), uncertainty)


def _uncertainty(text: Mapping[str, float], image: Mapping[str, float]) -> float | None:
    if "entropy" not in text or "entropy" not in image:
        return None
    return relative_uncertainty(text["entropy"], image["entropy"])


def _followed(joint: Sequence[_Joint]) -> list[_Joint]:
    return [one for one in joint if one.understood and one.said != "neither"]


def _following(name: str, joint: Sequence[_Joint]) -> Number:
    counts: Following = text_following_rate(
        [one.said for one in joint],
        ["image"] * len(joint),
        ["text"] * len(joint),
        [one.image_right for one in joint],
        [one.text_right for one in joint],
    )
    own = _followed(joint)
    rate = share([one.said == "text" for one in own], [one.item for one in own])
    left = f"{counts.other} follow neither, {counts.not_understood} not right in both alone"
    return Number(name, rate, len(own), left)


def _balance(name: str, joint: Sequence[_Joint]) -> Number:
    own = [(one, one.uncertainty) for one in _followed(joint) if one.uncertainty is not None]
    if not own:
        return Number(name, UNDEFINED, 0, "no entropies of answers that are right in both alone")
    bootstrap = Bootstrap([one.item for one, _ in own], resamples=_RESAMPLES)
    found = bootstrap.estimate(balance_point, [one.said == "text" for one, _ in own], [value for _, value in own])
    return Number(name, found, len(own), "" if found.value is not None else "the curve does not fall, or parts the two")
