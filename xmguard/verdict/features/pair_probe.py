"""What the model's trained probe says of a pair: a low-rank adapter of a few last rows, read after both spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmguard.bias import REMOVE, AttentionBias
from xmguard.contracts import Branch, EvidenceReading
from xmguard.verdict.features.naming import branch_name
from xmguard.verdict.likelihood import log_total

LIMIT = 12.0
"""Nats of log-odds counted at most."""


class ProbeConflict:
    """Log-odds of a conflict against agreement."""

    name = "probe_conflict"
    summary = "nats of log-odds that the model's pair probe gives a conflict over agreement"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value for every pair; none for a model without a probe."""
        return {pair: _clip(logits[0] - logits[1]) for pair, logits in _probe(reading).items()}


class ProbeUnanswered:
    """Log-odds that one of the two spans does not answer the question."""

    name = "probe_unanswered"
    summary = "nats of log-odds that the model's pair probe gives a span without an answer over two with one"
    conflict = 0
    comparable = -1

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value for every pair; none for a model without a probe."""
        return {pair: _clip(logits[2] - log_total(logits[:2])) for pair, logits in _probe(reading).items()}


def _probe(reading: EvidenceReading) -> dict[tuple[str, str], Sequence[float]]:
    """Logits of conflict, agreement and no answer for every pair."""
    tail = reading.prompt.probe_tail
    if not tail:
        return {}
    branches = []
    for a, b in reading.pairs:
        removed = dict.fromkeys((span for span in reading.prompt.span_map.ids if span not in (a, b)), REMOVE)
        branches.append(Branch(branch_name("pair_probe", a, b), tail, AttentionBias(removed)))
    return dict(zip(reading.pairs, reading.session.probe(branches), strict=True))


def _clip(value: float) -> float:
    return min(max(value, -LIMIT), LIMIT)
