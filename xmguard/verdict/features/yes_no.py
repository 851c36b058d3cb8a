"""Asked whether the other span's answer is right: does a span say so less readily than of its own answer?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xmguard.contracts import Branch, EvidenceReading
from xmguard.sizes import FeatureSizes
from xmguard.verdict.features.naming import branch_name
from xmguard.verdict.likelihood import log_total

TASK = '\n\nQuestion: {question}\nIs "{answer}" the right answer? Reply yes or no.'
YES, NO = ("Yes", " yes", " Yes", "yes"), ("No", " no", " No", "no")
"""Ways to begin the reply; the probability of a word is the sum over them."""


class YesNo:
    """Log-odds of "yes" for a span's own answer minus those for the other span's, both directions averaged."""

    name = "yes_no"
    summary = "nats of log-odds by which a span says yes to its own answer rather than to the other span's"
    conflict = 1
    comparable = 0
    probes = False

    def tokens(self, asked: FeatureSizes) -> int:
        """Every span is asked about every answer."""
        return asked_outright(asked, asked.sizes.spans**2, self._tail(asked))

    def reach(self, asked: FeatureSizes) -> int:
        """The question about an answer, and its replies."""
        return reached_outright(asked, self._tail(asked))

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both spans answered; four branches per pair."""
        answers = {span.span_id: span.answer.strip().rstrip(".") for span in reading.evidence.spans}
        pairs = [(a, b) for a, b in reading.pairs if answers[a] and answers[b]]
        asked = list(dict.fromkeys((reader, said) for a, b in pairs for reader in (a, b) for said in (a, b)))
        branches = [
            Branch(
                branch_name(YesNo.name, reader, said),
                reading.tail(TASK.format(question=reading.evidence.question, answer=answers[said])),
                reading.alone[reader].bias,
            )
            for reader, said in asked
        ]
        odds = dict(zip(asked, log_odds(reading, branches), strict=True))
        return {(a, b): (odds[a, a] - odds[a, b] + odds[b, b] - odds[b, a]) / 2 for a, b in pairs}

    def _tail(self, asked: FeatureSizes) -> int:
        return asked.tail(TASK.format(question=asked.question, answer="")) + asked.reread


def log_odds(reading: EvidenceReading, branches: Sequence[Branch]) -> list[float]:
    """Nats of log-odds of "yes" against "no" after each branch, over the ways of writing them."""
    words = [reading.ids(text) for text in (*YES, *NO)]
    scored = reading.session.score([(branch, word) for branch in branches for word in words])
    totals = [math.fsum(logprobs) for logprobs in scored]
    odds = []
    for first in range(0, len(totals), len(words)):
        yes, no = totals[first : first + len(YES)], totals[first + len(YES) : first + len(words)]
        odds.append(log_total(yes) - log_total(no))
    return odds


def asked_outright(asked: FeatureSizes, branches: int, tail: int) -> int:
    """Tokens that `log_odds` runs after so many branches at most."""
    return asked.sizes.chosen(branches, tail, [asked.ids(word) for word in (*YES, *NO)])


def reached_outright(asked: FeatureSizes, tail: int) -> int:
    """Tokens that `log_odds` reads after the context at most, after tails of so many."""
    return tail + max(len(asked.ids(word)) for word in (*YES, *NO)) - 1
