"""What the sources contributed, by the place in which they were read, and whether probabilities mean what they say.

Of models of ours only; others say nothing of either. Knows no page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xmguard.parts import TEXT
from xmguard.response import SpanReport, Status
from xmguard_research.benchmarks.summary import Asking, Row
from xmguard_research.metrics import BINS, Bin, Bootstrap, Estimate, brier, ece, reliability
from xmguard_research.reports.values import Material

IN_A_BIN = 8
"""Responses that a bin of a reliability diagram has at least, where there are more than that."""


@dataclass(frozen=True)
class Place:
    """The sources in one place of a variant."""

    number: int
    """From 1, in the order in which they are read."""
    source: str
    """Language of texts, modality of others; all that occur."""
    tokens: float
    """Mean."""
    before: Estimate
    """Mean of log(contribution / geometric mean over the sources), nats, without bias."""
    after: Estimate
    """The same with the bias that was applied."""


@dataclass(frozen=True)
class Contributed:
    """Contributions of the sources of one variant, over responses."""

    asking: Asking
    prompt: str
    variant: str
    places: tuple[Place, ...]
    ratio_before: Estimate
    """Mean of log(largest / smallest contribution), nats."""
    ratio_after: Estimate
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Trusted:
    """The verdict's probability under one prompt, all variants of a suite together."""

    asking: Asking
    prompt: str
    bins: tuple[Bin, ...]
    brier: Estimate
    ece: Estimate
    rows: tuple[Row, ...]
    without: int
    """Responses of which the check came to no probability."""


def contributions(material: Material) -> list[Contributed]:
    """Every variant of which some response has a contribution of each source."""
    grouped: dict[tuple[Asking, str, str, int], list[tuple[Row, Sequence[SpanReport]]]] = {}
    for row in _once(material):
        guard = material.response(row).guard
        spans = () if guard is None else guard.spans
        if len(spans) > 1 and all(span.contribution_before and span.contribution_after for span in spans):
            key = (Asking.of(row.key), row.key.prompt, row.key.variant, len(spans))
            grouped.setdefault(key, []).append((row, spans))
    return [_contributed(*key[:3], own) for key, own in sorted(grouped.items())]


def _contributed(
    asking: Asking, prompt: str, variant: str, own: Sequence[tuple[Row, Sequence[SpanReport]]]
) -> Contributed:
    items = [row.item for row, _ in own]
    before = [_logs([span.contribution_before for span in spans]) for _, spans in own]
    after = [_logs([span.contribution_after for span in spans]) for _, spans in own]
    places = []
    for number, spans in enumerate(zip(*(spans for _, spans in own), strict=True)):
        named = {span.language if span.modality == TEXT else span.modality for span in spans}
        tokens = float(np.mean([span.tokens for span in spans]))
        estimates = [_mean(items, [logs[number] for logs in each]) for each in (before, after)]
        places.append(Place(number + 1, ", ".join(sorted(named - {""})), tokens, *estimates))
    unbiased, biased = ([max(logs) - min(logs) for logs in each] for each in (before, after))
    rows = tuple(row for row, _ in own)
    return Contributed(asking, prompt, variant, tuple(places), _mean(items, unbiased), _mean(items, biased), rows)


def _logs(contributions: Sequence[float | None]) -> list[float]:
    """Log of each over the geometric mean of all."""
    logs = [math.log(one) for one in contributions if one]
    return [log - math.fsum(logs) / len(logs) for log in logs]


def _mean(items: Sequence[str], values: Sequence[float]) -> Estimate:
    if len(set(items)) < 2:
        return Estimate(float(np.mean(values)), None, None, 0)
    return Bootstrap(items).of_sums(np.divide, values, [1.0] * len(values))


def trusted(material: Material) -> list[Trusted]:
    """Every asking and prompt of which some responses have a probability and a truth to compare it with."""
    grouped: dict[tuple[Asking, str], list[Row]] = {}
    for row in _once(material):
        if row.conflict is not None and not row.failed:
            grouped.setdefault((Asking.of(row.key), row.key.prompt), []).append(row)
    found = {key: _probabilities(material, rows) for key, rows in sorted(grouped.items())}
    return [
        _trusted(asking, prompt, known, len(grouped[asking, prompt]) - len(known))
        for (asking, prompt), known in found.items()
        if known
    ]


def _probabilities(material: Material, rows: Sequence[Row]) -> Mapping[Row, float]:
    found = {}
    for row in rows:
        guard = material.response(row).guard
        if guard is not None and guard.verdict.status is Status.OK and guard.verdict.probability is not None:
            found[row] = guard.verdict.probability
    return found


def _trusted(asking: Asking, prompt: str, known: Mapping[Row, float], without: int) -> Trusted:
    conflict, values = [bool(row.conflict) for row in known], list(known.values())
    bootstrap = Bootstrap([row.item for row in known])
    return Trusted(
        asking,
        prompt,
        tuple(reliability(conflict, values, bins=bins_for(len(values)))),
        bootstrap.estimate(brier, conflict, values),
        bootstrap.estimate(ece, conflict, values),
        tuple(known),
        without,
    )


def bins_for(responses: int) -> int:
    """Bins that a diagram of so many responses has: 15 at most, and fewer where they would hold too little.

    >>> bins_for(5), bins_for(72), bins_for(1000)
    (1, 9, 15)
    """
    return min(BINS, max(1, responses // IN_A_BIN))


def _once(material: Material) -> list[Row]:
    """A row of every response, whatever number of scorers read it."""
    return list({(row.key._replace(measure=""), row.sample): row for row in reversed(material.rows)}.values())[::-1]
