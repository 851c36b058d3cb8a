"""Asked whether the other span's answer is right: does a span say so less readily than of its own answer?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

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
        odds = dict(zip(asked, self._log_odds(reading, asked, answers), strict=True))
        return {(a, b): (odds[a, a] - odds[a, b] + odds[b, b] - odds[b, a]) / 2 for a, b in pairs}

    @staticmethod
    def _log_odds(reading: EvidenceReading, asked: list[tuple[str, str]], answers: Mapping[str, str]) -> list[float]:
        words = [ids for text in (*YES, *NO) if len(ids := reading.ids(text)) == 1]
        yes = {reading.ids(text) for text in YES}
        rows = []
        for reader, said in asked:
            tail = reading.tail(TASK.format(question=reading.evidence.question, answer=answers[said]))
            branch = Branch(f"yes-no:{reader}:{said}", tail, reading.alone[reader].bias)
            rows += [(branch, word) for word in words]
        scores = [logprobs[0] for logprobs in reading.session.score(rows)]
        odds = []
        for first in range(0, len(scores), len(words)):
            found = list(zip(words, scores[first : first + len(words)], strict=True))
            odds.append(
                _total(score for word, score in found if word in yes)
                - _total(score for word, score in found if word not in yes)
            )
        return odds


def _total(logprobs: Iterable[float]) -> float:
    return math.log(math.fsum(map(math.exp, logprobs)))
