"""Asked whether the other span's answer is right: does a span say so less readily than of its own answer?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from xmguard.contracts import Branch, EvidenceReading

TASK = '\n\nQuestion: {question}\nIs "{answer}" the right answer? Reply yes or no.'
YES, NO = ("Yes", " yes", " Yes", "yes"), ("No", " no", " No", "no")


class YesNo:
    """Log-odds of "yes" for a span's own answer minus those for the other span's, both directions averaged."""

    name = "yes_no"
    summary = "nats of log-odds by which a span says yes to its own answer rather than to the other span's"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both spans answered; two rows of the model per answer."""
        answers = {span.span_id: span.answer.strip().rstrip(".") for span in reading.evidence.spans}
        pairs = [(a, b) for a, b in reading.pairs if answers[a] and answers[b]]
        asked = list(dict.fromkeys((reader, said) for a, b in pairs for reader in (a, b) for said in (a, b)))
        branches = [
            Branch(
                f"yes-no:{index}",
                reading.tail(TASK.format(question=reading.evidence.question, answer=answers[said])),
                reading.alone[reader].bias,
            )
            for index, (reader, said) in enumerate(asked)
        ]
        odds = dict(zip(asked, log_odds(reading, branches), strict=True))
        return {(a, b): (odds[a, a] - odds[a, b] + odds[b, b] - odds[b, a]) / 2 for a, b in pairs}


def log_odds(reading: EvidenceReading, branches: Sequence[Branch]) -> list[float]:
    """Nats of log-odds of "yes" against "no" as the first token after each branch, over the ways of writing them."""
    yes, no = ([ids for text in ways if len(ids := reading.ids(text)) == 1] for ways in (YES, NO))
    scores = iter(reading.session.score([(branch, word) for branch in branches for word in (*yes, *no)]))
    return [_total(scores, len(yes)) - _total(scores, len(no)) for _ in branches]


def _total(scores: Iterator[tuple[float, ...]], count: int) -> float:
    """Log of the sum of the next probabilities."""
    return math.log(math.fsum(math.exp(next(scores)[0]) for _ in range(count)))
