"""Do the spans pull the joint reading toward different answers? Contributions along the answers' directions."""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.bias import REMOVE, AttentionBias
from xmguard.contracts import Branch, EvidenceReading
from xmguard.sizes import FeatureSizes
from xmguard.verdict.features.naming import branch_name


class DirectedPull:
    """By how much each span adds more logit to its own answer than the other span does, direct path."""

    name = "directed_pull"
    summary = "nats of logit, mean per token, that a span adds to its own answer beyond what the other span adds"
    conflict = 1
    comparable = 0
    probes = False

    def tokens(self, asked: FeatureSizes) -> int:
        """Both answers after each pair."""
        return asked.sizes.scored(asked.pairs, asked.sizes.alone_tail, 2, asked.reread)

    def reach(self, asked: FeatureSizes) -> int:
        """An answer encoded anew may be longer than it was said."""
        return asked.sizes.alone_tail + asked.reread - 1

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both spans answered; the answers are read once more after the pair."""
        said = {span.span_id: reading.ids(f" {span.answer.strip()}") for span in reading.evidence.spans if span.answer}
        found = {}
        for a, b in reading.pairs:
            if a in said and b in said:
                branch = self._branch(reading, (a, b))
                own, other = (reading.session.directed(branch, said[span]).toward for span in (a, b))
                found[a, b] = (own[a] - own[b] + other[b] - other[a]) / 2
        return found

    def _branch(self, reading: EvidenceReading, pair: tuple[str, str]) -> Branch:
        removed = dict.fromkeys((span for span in reading.prompt.span_map.ids if span not in pair), REMOVE)
        return Branch(branch_name(self.name, *pair), reading.prompt.alone_tail, AttentionBias(removed))
