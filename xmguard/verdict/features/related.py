"""Does the other span hold the numbers, or the names, of the sentence that a question is about?

Found without the model: the sentence that has most of the question's content words. Numbers count where a number is
asked for, names elsewhere; both read the same in many languages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from xmguard.contracts import EvidenceReading, Language
from xmguard.evidence import SpanEvidence
from xmguard.verdict.words import found_in, is_number, words

_TOKEN = re.compile(r"[^\W\d_]+|\d[\d.,]*")
_CASELESS = re.compile(r"[\u0590-\u08ff\u0900-\u0dff\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Letters of scripts without capitals: names are not told by them, nor found among them."""


class RelatedElsewhere:
    """The numbers or names of the sentence most related to the question, looked up in the other span."""

    name = "related_elsewhere"
    summary = "share of the numbers (or names) of the sentence most related to the question that the other span lacks"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever a span's sentence shares a word with the question and holds what is asked for."""
        spans = {span.span_id: span for span in reading.evidence.spans}
        asked = set(reading.content_words(reading.evidence.question, ""))
        found = {}
        for a, b in reading.pairs:
            known = [
                missing
                for one, other in ((a, b), (b, a))
                if (missing := self._missing(reading, spans[one], spans[other], asked)) is not None
            ]
            if known:
                found[a, b] = sum(known) / len(known)
        return found

    @staticmethod
    def _missing(reading: EvidenceReading, span: SpanEvidence, other: SpanEvidence, asked: set[str]) -> float | None:
        """Share of what the span's sentence tells that the other span lacks; None if it tells nothing."""
        sentence = _most_related(reading, span, asked)
        if not sentence or not other.text:
            return None
        numeric = reading.language("").asks_for_number(reading.evidence.question)
        language = reading.language(span.language)
        if numeric:
            told = _numbers(sentence, language)
        elif _CASELESS.search(span.text) or _CASELESS.search(other.text):
            return None
        else:
            told = _names(sentence)
        told -= set(words(reading.evidence.question))
        theirs = set(words(other.text)) | _numbers(other.text, reading.language(other.language))
        return sum(not found_in(word, theirs) for word in told) / len(told) if told else None


def _most_related(reading: EvidenceReading, span: SpanEvidence, asked: set[str]) -> str:
    """The first sentence with most of the question's words; empty if none has any."""
    best, most = "", 0
    for start, end in reading.sentences(span.text, span.language):
        held = set(words(span.text[start:end]))
        shared = sum(found_in(word, held) for word in asked)
        if shared > most:
            best, most = span.text[start:end], shared
    return best


def _numbers(text: str, language: Language) -> set[str]:
    """Numbers in digits, those that the language writes as words included."""
    folded = words(text)
    return {word for word in folded if is_number(word)} | {
        language.number_words[word] for word in folded if word in language.number_words
    }


def _names(sentence: str) -> set[str]:
    """Folded words with a capital that is not the sentence's first."""
    tokens = _TOKEN.findall(sentence)
    return {word for token in tokens[1:] if token[0].isupper() for word in words(token)}
