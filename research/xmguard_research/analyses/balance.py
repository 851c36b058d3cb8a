"""Balance point: at which difference of uncertainty does a model follow both sources equally often?

Source: "When Modalities Conflict" (`metrics.uncertainty`). dH compares the entropies at the answer token when either
source is read alone. T is the text beside another modality, and otherwise the source that is read second. Read alone
means here that the other source is removed from what the answer reads, on one context that holds both; the source runs
two prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from xmguard.parts import TEXT
from xmguard.plugins import Registry
from xmguard_research.analyses import drawing
from xmguard_research.analyses.following import gives, source_followed
from xmguard_research.analyses.outcome import Outcome, number, percent, plain
from xmguard_research.analyses.reading import Read
from xmguard_research.metrics import (
    RESAMPLES,
    Bootstrap,
    Estimate,
    FollowCurve,
    Metric,
    follow_curve,
    relative_uncertainty,
    share,
)
from xmguard_research.metrics.draws import Array

NAME = "balance"
ALL = "all variants"
GRID = tuple(float(at) for at in np.linspace(-2.0, 2.0, 33))
"""Where the curve is evaluated: dH lies between -2 and 2."""
BINS = 5
UNDEFINED = Estimate(None, None, None, 0)
CAPTION = (
    "P(follow T) against the relative uncertainty dH = 2 (H_T − H_O) / (H_T + H_O) of the answers from each source "
    "alone, over conflicts whose answer follows one of the two; T is the text, or the source read second. The curve "
    "is a logistic fit, points are shares in bins of equally many answers. The balance point is the dH at which both "
    "are followed equally; it exists only where the curve falls, and 'draws without' says how many of the bootstrap's "
    "did not. TFR is the share that follows T among answers to conflicts of which both sources are understood alone. "
    "Intervals are 95%, over items."
)
COLUMNS = (
    *("group", "conflicts", "follow T", "follow the other", "neither", "no dH", "P(follow T)", "slope"),
    *("balance point", "draws without", "understood", "TFR"),
)


@dataclass(frozen=True)
class Point:
    """One conflict."""

    item: str
    variant: str
    follows: bool | None
    """Whether the answer follows T; None if it follows neither source."""
    uncertainty: float | None
    """The dH; None where an answer alone has no content token, or both are certain."""
    understood: bool
    """Whether both sources, read alone, give their known answers."""


def outcome(rows: Sequence[Read], registry: Registry, *, resamples: int = RESAMPLES) -> Outcome:
    """Table and curves, of each variant and of all."""
    found: dict[str, list[Point]] = {}
    for point in points(rows, registry):
        found.setdefault(point.variant, []).append(point)
    if len(found) > 1:
        found[ALL] = [point for own in found.values() for point in own]
    values = {name: numbers(own, resamples=resamples) for name, own in found.items()}
    return Outcome(
        NAME,
        "At which uncertainty are both sources followed alike?",
        CAPTION,
        [COLUMNS, *(_row(name, own) for name, own in values.items())],
        {"groups": plain(values)},
        {"balance.svg": _drawn(values)} if values else {},
    )


def points(rows: Sequence[Read], registry: Registry) -> list[Point]:
    """The conflicts among the readings."""
    found = []
    for case, row in rows:
        if not case.conflict:
            continue
        of_text = row.labels.index(TEXT) if TEXT in row.labels else 1
        followed = source_followed(row.answer, case, registry)
        text, other = row.entropies[of_text], row.entropies[1 - of_text]
        known = zip(row.alone, case.answers, case.spans, strict=True)
        found.append(
            Point(
                case.item,
                case.variant,
                None if followed is None else followed == of_text,
                None if text is None or other is None else relative_uncertainty(text, other),
                all(gives(alone, answer, registry, [span.language]) for alone, answer, span in known),
            )
        )
    return found


def numbers(found: Sequence[Point], *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Counts, fit and intervals of one group of conflicts."""
    clear = [point for point in found if point.follows is not None]
    fitted = [point for point in clear if point.uncertainty is not None]
    understood = [point for point in clear if point.understood]
    return {
        "conflicts": len(found),
        "follow_t": sum(bool(point.follows) for point in clear),
        "follow_other": sum(not point.follows for point in clear),
        "neither": len(found) - len(clear),
        "without_uncertainty": len(clear) - len(fitted),
        "followed_t": _share(clear, resamples),
        "understood": sum(point.understood for point in found),
        "text_following_rate": _share(understood, resamples),
        **_fit(fitted, resamples),
    }


def _fit(fitted: Sequence[Point], resamples: int) -> dict[str, Any]:
    names = ("slope", "intercept", "balance_point")
    if not fitted:
        return {**dict.fromkeys(names, UNDEFINED), "curve": [], "bins": []}
    follows = [bool(point.follows) for point in fitted]
    uncertainty = [float(point.uncertainty or 0.0) for point in fitted]
    draws = Bootstrap([point.item for point in fitted], resamples=resamples)
    fits = _Fits(follows, uncertainty)

    def estimate(number: Callable[[FollowCurve], float | None]) -> Estimate:
        return draws.estimate(fits.metric(number), follows, uncertainty)

    curve = [{"uncertainty": at, "probability": estimate(lambda fit, at=at: fit.probability(at))} for at in GRID]  # type: ignore[misc]
    ordered = sorted(fitted, key=lambda point: point.uncertainty or 0.0)
    bins = [own for own in np.array_split(np.arange(len(ordered)), BINS) if own.size]
    return {
        "slope": estimate(lambda fit: fit.slope),
        "intercept": estimate(lambda fit: fit.intercept),
        "balance_point": estimate(lambda fit: fit.balance_point),
        "curve": curve,
        "bins": [
            {
                "uncertainty": float(np.mean([ordered[place].uncertainty for place in own])),
                "followed_t": _share([ordered[place] for place in own], resamples),
            }
            for own in bins
        ],
    }


class _Fits:
    """Fits a draw once, however many numbers are taken of it."""

    def __init__(self, follows: Sequence[bool], uncertainty: Sequence[float]) -> None:
        self._follows, self._uncertainty = follows, uncertainty
        self._found: dict[bytes, FollowCurve | None] = {}

    def metric(self, number: Callable[[FollowCurve], float | None]) -> Metric:
        """A number of the curve on every draw; nan where there is no curve, or it has no such number."""

        def of(labels: Array, values: Array, times: Array) -> Array:
            fits = [self._fit(row) for row in times]
            found = [None if fit is None else number(fit) for fit in fits]
            return np.array([np.nan if one is None else one for one in found])

        return of

    def _fit(self, times: Array) -> FollowCurve | None:
        key = times.tobytes()
        if key not in self._found:
            self._found[key] = follow_curve(self._follows, self._uncertainty, times.tolist())
        return self._found[key]


def _share(found: Sequence[Point], resamples: int) -> Estimate:
    return share([bool(point.follows) for point in found], [point.item for point in found], resamples=resamples)


def _row(name: str, own: Mapping[str, Any]) -> list[str]:
    counts = ("conflicts", "follow_t", "follow_other", "neither", "without_uncertainty")
    return [
        name,
        *(str(own[count]) for count in counts),
        percent(own["followed_t"]),
        number(own["slope"], ".2f"),
        number(own["balance_point"], ".2f"),
        str(own["balance_point"].undefined),
        str(own["understood"]),
        percent(own["text_following_rate"]),
    ]


def _drawn(values: Mapping[str, Mapping[str, Any]]) -> Figure:
    figure, axes = drawing.panels(list(values), "relative uncertainty of T, dH", "P(follow T)")
    for axis, own in zip(axes, values.values(), strict=True):
        drawing.curve(axis, GRID, [at["probability"] for at in own["curve"]] or [UNDEFINED] * len(GRID), "fit", 0)
        at = [one["uncertainty"] for one in own["bins"]]
        axis.plot(at, [one["followed_t"].value for one in own["bins"]], "o", color="black", markersize=4)
        if own["balance_point"].value is not None:
            axis.axvline(own["balance_point"].value, color="grey", linewidth=0.8, linestyle=":")
        axis.set(xlim=(-2.05, 2.05), ylim=(-0.03, 1.03))
    return figure
