"""What can be read off the words alone: of the spans, of a span and the question, of an answer and the other span.

The first is the baseline every verdict has to beat; as a feature it is worth what the others leave open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from xmguard.contracts import EvidenceReading
from xmguard.evidence import SpanEvidence
from xmguard.verdict.words import found_in, is_number


class SharedWords:
    """Jaccard index of the spans' content words, the question's left out."""

    name = "shared_words"
    summary = "share of the spans' content words that both have, the question's left out; 0 to 1"
    conflict = -1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both spans hold text of their own."""
        asked = set(reading.content_words(reading.evidence.question, ""))
        own = {span: found - asked for span, found in _texts(reading).items()}
        return {
            (a, b): len(own[a] & own[b]) / len(own[a] | own[b]) for a, b in reading.pairs if own.get(a) and own.get(b)
        }


class QuestionWords:
    """Whether a span talks of what is asked."""

    name = "question_words"
    summary = "share of the question's content words that a span holds; the smaller of the pair's"
    conflict = 0
    comparable = 1

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever both spans hold text and the question has content words."""
        asked = set(reading.content_words(reading.evidence.question, ""))
        texts = _texts(reading)
        if not asked:
            return {}
        held = {span: sum(found_in(word, own) for word in asked) / len(asked) for span, own in texts.items()}
        return {(a, b): min(held[a], held[b]) for a, b in reading.pairs if a in held and b in held}


class AnswerElsewhere:
    """Whether what a span answers stands in the other span as well.

    Only words that the answer has from its own span count, so that what the model invents is no evidence.
    """

    name = "answer_elsewhere"
    summary = "share of an answer's content words, as its own span has them, that the other span lacks; 0 to 1"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever an answer holds such words."""
        return _missing_elsewhere(reading, lambda word: True)


class NumbersElsewhere:
    """The same for numbers, which need no translation."""

    name = "numbers_elsewhere"
    summary = "share of an answer's numbers, as its own span has them, that the other span lacks; 0 to 1"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever an answer holds a number of its span."""
        return _missing_elsewhere(reading, is_number)


def _texts(reading: EvidenceReading) -> dict[str, set[str]]:
    """Content words of the spans that hold text."""
    spans = reading.evidence.spans
    return {span.span_id: set(reading.content_words(span.text, span.language)) for span in spans if span.text}


def _missing_elsewhere(reading: EvidenceReading, counts: Callable[[str], bool]) -> dict[tuple[str, str], float]:
    asked = set(reading.content_words(reading.evidence.question, ""))
    texts = _texts(reading)
    said = {span.span_id: _anchors(reading, span, texts, asked, counts) for span in reading.evidence.spans}
    found = {}
    for a, b in reading.pairs:
        known = [
            1 - sum(map(partial(found_in, others=texts[other]), said[one])) / len(said[one])
            for one, other in ((a, b), (b, a))
            if said[one] and other in texts
        ]
        if known:
            found[a, b] = sum(known) / len(known)
    return found


def _anchors(
    reading: EvidenceReading,
    span: SpanEvidence,
    texts: Mapping[str, set[str]],
    asked: set[str],
    counts: Callable[[str], bool],
) -> set[str]:
    """Words of an answer that its span holds and the question does not."""
    answer = set(reading.content_words(span.answer, span.language)) - asked
    return {word for word in answer & texts.get(span.span_id, set()) if counts(word)}
