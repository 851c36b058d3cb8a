"""How likely is each span's answer when the other span is read instead? In nats per token, both directions averaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from xmguard.contracts import EvidenceReading
from xmguard.evidence import SpanEvidence
from xmguard.verdict.likelihood import likelihood_drop, retained_gain

PREFIX = 3
"""Tokens that name an answer before its wording begins to differ."""
Direction = Callable[[SpanEvidence, Sequence[float]], float | None]


class LikelihoodDrop:
    """Every token of the answer."""

    name = "likelihood_drop"
    summary = "nats per token that a span's answer loses when the other span is read instead"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever an answer was scored under the other span."""
        return both_directions(reading, lambda span, under: likelihood_drop(span.own, under))


class PrefixDrop:
    """The first tokens of the answer."""

    name = "prefix_drop"
    summary = f"the same over the answer's first {PREFIX} tokens"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever an answer was scored under the other span."""
        return both_directions(reading, lambda span, under: likelihood_drop(span.own[:PREFIX], under[:PREFIX]))


class ContentDrop:
    """The tokens of the answer that belong to its content words and are not in the question."""

    name = "content_drop"
    summary = "the same over the tokens of the answer's content words that the question does not hold"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever an answer has such tokens and was scored under the other span."""
        asked = set(reading.content_words(reading.evidence.question, ""))

        def drop(span: SpanEvidence, under: Sequence[float]) -> float | None:
            chosen = _content_tokens(reading, span, asked)
            return likelihood_drop([span.own[i] for i in chosen], [under[i] for i in chosen])

        return both_directions(reading, drop)


class LostGain:
    """What is lost of the gain over the prior without any context."""

    name = "lost_gain"
    summary = "share of what reading its span adds to an answer's likelihood that the other span does not add; 0 to 1"
    conflict = 1
    comparable = 0

    def measure(self, reading: EvidenceReading) -> Mapping[tuple[str, str], float]:
        """A value wherever reading the span made its answer likelier, and it was scored under the other span."""

        def lost(span: SpanEvidence, under: Sequence[float]) -> float | None:
            retained = retained_gain(span.own, under, span.prior)
            return None if retained is None else 1.0 - min(max(retained, 0.0), 1.0)

        return both_directions(reading, lost)


def both_directions(reading: EvidenceReading, value: Direction) -> dict[tuple[str, str], float]:
    """Mean over the directions known of a value of a span and its answer's log-probabilities under the other span."""
    spans = {span.span_id: span for span in reading.evidence.spans}
    found = {}
    for a, b in reading.pairs:
        known = []
        for one, other in ((a, b), (b, a)):
            under = spans[one].under.get(other, ())
            if under and (found_value := value(spans[one], under)) is not None:
                known.append(found_value)
        if known:
            found[a, b] = sum(known) / len(known)
    return found


def _content_tokens(reading: EvidenceReading, span: SpanEvidence, asked: set[str]) -> list[int]:
    """Indices of the tokens that overlap a content word the question does not hold."""
    telling = set(reading.content_words(span.answer, span.language)) - asked
    chosen = []
    for index in range(len(span.tokens)):
        # A token is judged by the word it stands in: the run of tokens up to the next one that begins a word.
        first = index
        while first and not span.tokens[first][:1].isspace():
            first -= 1
        last = index + 1
        while last < len(span.tokens) and not span.tokens[last][:1].isspace():
            last += 1
        if telling.intersection(reading.content_words("".join(span.tokens[first:last]), span.language)):
            chosen.append(index)
    return chosen
