"""Does the joint answer flip when attention is moved from one span to the other?"""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.bias import REMOVE, AttentionBias
from xmguard.contracts import Branch, EvidenceReading
from xmguard.sizes import FeatureSizes
from xmguard.verdict.features.naming import branch_name
from xmguard.verdict.likelihood import likelihood_drop

EPSILON = 2.0
"""Nats on every key of the span that attention is moved to."""


class SteeredFlip:
    """By how much steering to a span favours its own answer: two spans of one mind do not care."""

    name = "steered_flip"
    summary = f"nats per token by which {EPSILON:g} nats of bias on a span favour its own answer, read jointly"
    conflict = 1
    comparable = 0
    probes = False

    def tokens(self, asked: FeatureSizes) -> int:
        """Both answers, steered to either span of a pair."""
        return asked.sizes.scored(2 * asked.pairs, asked.sizes.alone_tail, 2, asked.reread)

    def reach(self, asked: FeatureSizes) -> int:
        """An answer encoded anew may be longer than it was said."""
        return asked.sizes.alone_tail + asked.reread - 1

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both spans answered; two branches per pair."""
        said = {span.span_id: reading.ids(f" {span.answer.strip()}") for span in reading.evidence.spans if span.answer}
        pairs = [(a, b) for a, b in reading.pairs if a in said and b in said]
        rows = []
        for a, b in pairs:
            for toward in (a, b):
                branch = self._branch(reading, (a, b), toward)
                rows += [(branch, said[a]), (branch, said[b])]
        scores = iter(reading.session.score(rows))
        found = {}
        for a, b in pairs:
            own_a, a_of_b, b_of_a, own_b = next(scores), next(scores), next(scores), next(scores)
            # Steered to a: a's answer and b's; steered to b: a's answer and b's.
            drops = (likelihood_drop(own_a, b_of_a), likelihood_drop(own_b, a_of_b))
            known = [drop for drop in drops if drop is not None]
            if known:
                found[a, b] = sum(known) / len(known)
        return found

    def _branch(self, reading: EvidenceReading, pair: tuple[str, str], toward: str) -> Branch:
        spans = reading.prompt.span_map.ids
        epsilon = dict.fromkeys((span for span in spans if span not in pair), REMOVE) | {toward: EPSILON}
        return Branch(branch_name(self.name, *pair, toward), reading.prompt.alone_tail, AttentionBias(epsilon))
