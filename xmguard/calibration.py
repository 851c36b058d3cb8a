"""What a model's verdict was fitted to: a weight for every feature, a curve to probabilities, and where it decides.

Values and the arithmetic of one prediction, without any library: fitting is the research package's business.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xmguard.evidence import Bounds
from xmguard.parts import TEXT

SAME_LANGUAGE = "same_language"
CROSS_LANGUAGE = "cross_language"
PAIRINGS = (SAME_LANGUAGE, CROSS_LANGUAGE)
"""Pairs of spans in one language and in two are weighed apart: words compare across languages only as far as numbers
and cognates go. Labels with regions count by their primary tag."""


@dataclass(frozen=True)
class FeatureWeight:
    """What one feature adds to the log-odds: `weight * (value - center) / scale`, or `absent` when it has no value."""

    feature: str
    weight: float
    center: float
    scale: float
    absent: float = 0.0


@dataclass(frozen=True)
class Fit:
    """A logistic model over features, and the curve from its log-odds to a calibrated probability."""

    intercept: float
    weights: tuple[FeatureWeight, ...]
    curve: tuple[tuple[float, float], ...] = ()
    """Log-odds to probability, both rising, joined by straight lines and flat beyond the ends; empty: the sigmoid."""

    def log_odds(self, values: Mapping[str, float]) -> float:
        """Of a pair with these features."""
        return self.intercept + math.fsum(
            one.weight * (values[one.feature] - one.center) / one.scale if one.feature in values else one.absent
            for one in self.weights
        )

    def probability(self, values: Mapping[str, float]) -> float:
        """Calibrated, of a pair with these features."""
        odds = self.log_odds(values)
        return along(self.curve, odds) if self.curve else sigmoid(odds)


@dataclass(frozen=True)
class FittedFor:
    """The model, engine and dtype whose numbers were fitted; another's are not the same."""

    model_hash: str
    engine: str
    dtype: str


@dataclass(frozen=True)
class ProbeSource:
    """A trained probe of a pair: a LoRA adapter as PEFT saves it, of the rows of a tail."""

    folder: Path
    """Holds `adapter_config.json` and `adapter_model.safetensors`."""
    sha256: str
    """Of the adapter's weights."""
    layers: int
    """Decoder layers it runs; the state after the last of them is classified."""
    task: str
    """Text of the tail, with `{question}` in it."""


@dataclass(frozen=True)
class VerdictProfile:
    """How one model's evidence is weighed."""

    fitted_for: FittedFor
    conflict: Mapping[str, Fit]
    """Of a conflict against agreement, by pairing; a pairing that is not there is not calibrated."""
    comparable: Mapping[str, Fit]
    """Of both spans answering the question, by pairing; without one every pair counts as comparable."""
    bounds: Bounds
    fitted_on: str
    """What it was fitted to, for people."""
    probe: ProbeSource | None = None
    languages: tuple[str, ...] = ()
    """Pairs of primary tags it was fitted to, each sorted: `en-en`, `de-en`. Others are weighed alike, but do not count
    as calibrated. Empty: not told, so that none is excluded."""
    modalities: tuple[str, ...] = (TEXT,)
    """Names of the modalities of the spans in those pairs. Spans of others are weighed alike, but do not count as
    calibrated."""

    def covers(self, language_a: str, language_b: str) -> bool:
        """Whether pairs of these languages were among those it was fitted to; two unknown ones are taken to be."""
        return not self.languages or language_pair(language_a, language_b) in (*self.languages, "und-und")

    @property
    def features(self) -> tuple[str, ...]:
        """Names of every feature that has a weight, sorted."""
        fits = [*self.conflict.values(), *self.comparable.values()]
        return tuple(sorted({one.feature for fit in fits for one in fit.weights}))


def language_pair(language_a: str, language_b: str) -> str:
    """Primary tags, sorted and joined; a language that is not known is taken to be the other one's."""
    a, b = (tag.lower().split("-")[0] for tag in (language_a, language_b))
    known = [tag for tag in (a, b) if tag != "und"]
    return "-".join(sorted(known * 2 if len(known) == 1 else [a, b]))


def pairing(language_a: str, language_b: str) -> str:
    """Which of `PAIRINGS` two BCP-47 tags are.

    A language that is not known (`und`: detection gives short texts up) is taken to be the other one's; the response
    warns of it.
    """
    a, b = language_pair(language_a, language_b).split("-")
    return SAME_LANGUAGE if a == b else CROSS_LANGUAGE


def sigmoid(odds: float) -> float:
    """1 / (1 + exp(-odds)) without overflow."""
    return 1.0 / (1.0 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1.0 + math.exp(odds))


def along(curve: tuple[tuple[float, float], ...], x: float) -> float:
    """The curve's height at x."""
    right = bisect_right(curve, x, key=lambda point: point[0])
    if right == 0:
        return curve[0][1]
    if right == len(curve):
        return curve[-1][1]
    (x0, y0), (x1, y1) = curve[right - 1], curve[right]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
