"""Do the two answers claim the same, as far as the languages' plugins can tell?"""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.contracts import EvidenceReading
from xmguard.verdict.equality import Agreement, compare
from xmguard.verdict.grouping import answered

_VALUE = {Agreement.SAME: -1.0, Agreement.UNKNOWN: 0.0, Agreement.DIFFERENT: 1.0}


class AnswersDiffer:
    """Equality of the normalised answers."""

    name = "answers_differ"
    summary = "1 if the answers of the spans alone claim different values, -1 if the same, 0 if that cannot be read"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both spans answered."""
        spans = {span.span_id: span for span in reading.evidence.spans}
        return {
            (a, b): _VALUE[compare(spans[a].normalized, spans[b].normalized)]
            for a, b in reading.pairs
            if answered(spans[a]) and answered(spans[b])
        }
