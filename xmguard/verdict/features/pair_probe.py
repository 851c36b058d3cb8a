"""What the model's trained probe says of a pair: a low-rank adapter of a few last rows, read after both spans.

The logits are means over both orders of the spans where the context is short.
"""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.contracts import EvidenceReading
from xmguard.sizes import FeatureSizes
from xmguard.verdict.likelihood import log_total

LIMIT = 12.0
"""Nats of log-odds counted at most."""


class ProbeConflict:
    """Log-odds of a conflict against agreement."""

    name = "probe_conflict"
    summary = "nats of log-odds that the model's pair probe gives a conflict over agreement"
    conflict = 1
    comparable = 0
    probes = True

    def tokens(self, asked: FeatureSizes) -> int:
        """None of its own."""
        return 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value for every pair; none for a model without a probe."""
        return {pair: _clip(logits[0] - logits[1]) for pair, logits in reading.probed.items()}


class ProbeUnanswered:
    """Log-odds that one of the two spans does not answer the question."""

    name = "probe_unanswered"
    summary = "nats of log-odds that the model's pair probe gives a span without an answer over two with one"
    conflict = 0
    comparable = -1
    probes = True

    def tokens(self, asked: FeatureSizes) -> int:
        """None of its own."""
        return 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value for every pair; none for a model without a probe."""
        return {pair: _clip(logits[2] - log_total(logits[:2])) for pair, logits in reading.probed.items()}


def _clip(value: float) -> float:
    return min(max(value, -LIMIT), LIMIT)
