"""Asked outright whether both spans answer alike: what the model itself says of a pair."""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.bias import REMOVE, AttentionBias
from xmguard.contracts import Branch, EvidenceReading
from xmguard.sizes import FeatureSizes
from xmguard.verdict.features.naming import branch_name
from xmguard.verdict.features.yes_no import asked_outright, log_odds, reached_outright

TASK = '\n\nWould both sources lead to the same answer to the question "{question}"? Reply yes or no.'


class ExplicitPrompt:
    """Log-odds of "no" against "yes", read jointly (the Explicit prompt of the paper's section D, in our words)."""

    name = "explicit_prompt"
    summary = 'nats of log-odds of "no" when the model is asked whether both spans lead to the same answer'
    conflict = 1
    comparable = 0
    probes = False

    def tokens(self, asked: FeatureSizes) -> int:
        """A reading and its replies for each pair."""
        return asked_outright(asked, asked.pairs, asked.tail(TASK.format(question=asked.question)))

    def reach(self, asked: FeatureSizes) -> int:
        """The question and its replies."""
        return reached_outright(asked, asked.tail(TASK.format(question=asked.question)))

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value for every pair; one row of the model each."""
        tail = reading.tail(TASK.format(question=reading.evidence.question))
        branches = []
        for pair in reading.pairs:
            removed = dict.fromkeys((span for span in reading.prompt.span_map.ids if span not in pair), REMOVE)
            branches.append(Branch(branch_name(self.name, *pair), tail, AttentionBias(removed)))
        return {pair: -odds for pair, odds in zip(reading.pairs, log_odds(reading, branches), strict=True)}
