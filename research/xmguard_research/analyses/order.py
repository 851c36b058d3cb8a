"""Order: the same two sources read in both orders. Is what is read first followed, and does it contribute more?

Source: the paper, section 3 (primacy bias). A pair of cases has the same question and the same sources the other way
round, so that what a source says, and in which language, adds as much to one place as to the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from xmguard.errors import InvalidRequest
from xmguard.plugins import Registry
from xmguard.span import Span
from xmguard_research.analyses import drawing
from xmguard_research.analyses.following import source_followed
from xmguard_research.analyses.groups import PLACES
from xmguard_research.analyses.outcome import Outcome, number, p_value, plain
from xmguard_research.analyses.reading import Read
from xmguard_research.metrics import RESAMPLES, Bootstrap, Estimate, position_effect, share, sign_flip_p_value
from xmguard_research.metrics.position import Place

NAME = "order"
CAPTION = (
    "Every pair of sources is read in both orders. The effect on answers to conflicts is (first − second) / (first + "
    "second): above 0 the source that stands first is followed more (primacy), below 0 the other (recency). The log "
    "ratio is that of the contribution in first place to that in second place, conflicts and controls together. p is "
    "of a two-sided sign-flip test over items, under which a source is followed, and contributes, as much in either "
    "place. Intervals are 95%, bootstrapped over items."
)
COLUMNS = (
    *("group", "conflicts, twice", "first", "second", "neither", "first both times", "second both times"),
    *("same source both times", "effect", "p", "pairs", "log ratio of ‖u‖", "p of ‖u‖"),
)


@dataclass(frozen=True)
class Twice:
    """The same sources in one order and in the other."""

    forward: Read
    swapped: Read

    @property
    def item(self) -> str:
        """Of both."""
        return self.forward[0].item

    @property
    def variant(self) -> str:
        """Without regard to order."""
        here, there = self.forward[0].variant, self.swapped[0].variant
        return here if here == there else f"{here} and {there}"


def outcome(rows: Sequence[Read], registry: Registry, *, resamples: int = RESAMPLES) -> Outcome:
    """Table, and what is followed and contributed by place.

    Raises:
        InvalidRequest: no case is there in both orders.
    """
    found: dict[str, list[Twice]] = {}
    for pair in both_orders(rows):
        found.setdefault(pair.variant, []).append(pair)
    if not found:
        raise InvalidRequest.field("suite", "holds no case in both orders; its options decide what it holds")
    values = {name: numbers(own, registry, resamples=resamples) for name, own in found.items()}
    return Outcome(
        NAME,
        "Does it matter which source stands first?",
        CAPTION,
        [COLUMNS, *(_row(name, own) for name, own in values.items())],
        {"groups": plain(values)},
        {"order.svg": _drawn(values)},
    )


def both_orders(rows: Sequence[Read]) -> list[Twice]:
    """Cases with the same question and the same sources, each once in either order; what comes first is forward."""
    waiting: dict[object, Read] = {}
    found = []
    for case, row in rows:
        told = [_content(span) for span in case.spans]
        asked = (case.item, case.question, case.conflict)
        other = waiting.pop((*asked, *reversed(told)), None)
        if other is None or told[0] == told[1]:
            waiting[(*asked, *told)] = (case, row)
        else:
            found.append(Twice(other, (case, row)))
    return found


def numbers(pairs: Sequence[Twice], registry: Registry, *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Counts, effect and tests of one group of pairs."""
    return {**_followed(pairs, registry, resamples), **_contributed(pairs, resamples)}


def _followed(pairs: Sequence[Twice], registry: Registry, resamples: int) -> dict[str, Any]:
    conflicts = [pair for pair in pairs if pair.forward[0].conflict]
    forward, swapped = (
        [_place(one, registry) for one in column]
        for column in ([pair.forward for pair in conflicts], [pair.swapped for pair in conflicts])
    )
    items = [pair.item for pair in conflicts]
    first, second = (
        [float((one, other).count(place)) for one, other in zip(forward, swapped, strict=True)] for place in PLACES
    )
    differences = [one - other for one, other in zip(first, second, strict=True)]
    return {
        "conflicts": len(conflicts),
        **asdict(position_effect(forward, swapped)),
        "effect": _effect(items, forward, swapped, resamples),
        "effect_p": sign_flip_p_value(items, differences),
    }


def _contributed(pairs: Sequence[Twice], resamples: int) -> dict[str, Any]:
    places = [[_norm(pair.forward, place) + _norm(pair.swapped, place) for pair in pairs] for place in (0, 1)]
    items = [pair.item for pair in pairs]
    draws = Bootstrap(items, resamples=resamples)
    twice = [2.0] * len(pairs)
    return {
        "pairs": len(pairs),
        "norm_first": draws.of_sums(np.divide, places[0], twice),
        "norm_second": draws.of_sums(np.divide, places[1], twice),
        "log_ratio": draws.of_sums(lambda one, other: np.log(one / other), *places),
        "log_ratio_p": sign_flip_p_value(items, [one - other for one, other in zip(*places, strict=True)]),
    }


def _content(span: Span) -> object:
    return span.text if span.media is None else span.media


def _place(read: Read, registry: Registry) -> Place | None:
    case, row = read
    followed = source_followed(row.answer, case, registry)
    if followed is None:
        return None
    return "second" if followed else "first"


def _norm(read: Read, place: int) -> float:
    return read[1].contributions[place]


def _effect(
    items: Sequence[str], forward: Sequence[Place | None], swapped: Sequence[Place | None], resamples: int
) -> Estimate:
    """(first - second) / (first + second): twice the share of first among answers that follow a source, minus 1."""
    clear = [(item, place) for item, place in zip((*items, *items), (*forward, *swapped), strict=True) if place]
    first = share([place == "first" for _, place in clear], [item for item, _ in clear], resamples=resamples)
    value, low, high = (None if one is None else 2 * one - 1 for one in (first.value, first.low, first.high))
    return Estimate(value, low, high, first.undefined)


def _row(name: str, own: Mapping[str, Any]) -> list[str]:
    counts = ("conflicts", "first", "second", "neither", "primacy", "recency", "content")
    return [
        name,
        *(str(own[count]) for count in counts),
        number(own["effect"], ".2f"),
        p_value(own["effect_p"]),
        str(own["pairs"]),
        number(own["log_ratio"]),
        p_value(own["log_ratio_p"]),
    ]


def _drawn(values: Mapping[str, Mapping[str, Any]]) -> Figure:
    figure, axes = drawing.panels(list(values), "place", "contribution, mean ‖u‖")
    for axis, own in zip(axes, values.values(), strict=True):
        names = [f"{place}\nfollowed by {own[place]}" for place in PLACES]
        drawing.bars(axis, names, [own["norm_first"], own["norm_second"]])
    return figure
