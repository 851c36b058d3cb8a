"""How sure is the model of each span's answer, and does it come from the span at all?"""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.contracts import EvidenceReading
from xmguard.verdict.likelihood import gain


class Entropy:
    """The less certain of the two answers."""

    name = "entropy"
    summary = "nats over the vocabulary at the first content token of an answer alone; the larger of the pair's"
    conflict = 0
    comparable = -1

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both answers have a content token."""
        entropies = {span.span_id: span.entropy for span in reading.evidence.spans}
        return {pair: max(known) for pair, known in _known(reading, entropies).items()}


class RelativeUncertainty:
    """|2 (H_a - H_b) / (H_a + H_b)|, after the relative uncertainty of two modalities."""

    name = "relative_uncertainty"
    summary = "how much less certain one answer is than the other, 0 to 2"
    conflict = 0
    comparable = -1

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both answers have a content token and not both are certain."""
        entropies = {span.span_id: span.entropy for span in reading.evidence.spans}
        known = _known(reading, entropies)
        return {pair: abs(2 * (x - y) / (x + y)) for pair, (x, y) in known.items() if x + y > 0}


class Gain:
    """The smaller gain over the prior: an answer that is as likely unread does not come from its span."""

    name = "gain"
    summary = "nats per token that reading its span adds to an answer; the smaller of the pair's"
    conflict = 0
    comparable = 1

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both answers were scored unread."""
        gains = {span.span_id: gain(span) for span in reading.evidence.spans}
        return {pair: min(known) for pair, known in _known(reading, gains).items()}


def _known(reading: EvidenceReading, values: Mapping[str, float | None]) -> dict[tuple[str, str], tuple[float, float]]:
    """Both spans' values, of the pairs of which both have one."""
    found = {}
    for a, b in reading.pairs:
        x, y = values[a], values[b]
        if x is not None and y is not None:
            found[a, b] = (x, y)
    return found
