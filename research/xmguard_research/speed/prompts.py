"""What the models are asked: own sentences, repeated to any length. Knows nothing of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

from xmguard.context import Context, ContextSpan, EncodedPrompt, SpanMap, SpanTokens
from xmguard.contracts import Backend
from xmguard.request import AnswerRequest, Decoding, OnConflict, OnError, Prompt, Rebalance
from xmguard.span import Span

QUESTION = "When does the ferry to Ransey leave?"
OPEN_QUESTION = "Describe at length everything that the sources say about the island of Ransey and its ferry."
"""Asked where an answer has to go on for a while."""

_SENTENCES = (
    "On the island of Ransey the wind comes from the west for most of the year.",
    "The harbour office sells tickets until ten minutes before a ferry casts off.",
    "Bicycles travel for free, and dogs need a ticket of their own.",
    "In the old net loft a small museum shows how ropes were made by hand.",
    "Two bakeries open before sunrise, and both are sold out by noon.",
    "The crossing takes about fifty minutes when the sea is calm.",
    "From the lighthouse one sees the mainland, three skerries and the fish farm.",
    "A bus waits at the pier and goes round the island once an hour.",
)


def sentences() -> Iterator[str]:
    """Sentences without end; a running number keeps repetitions from being equal."""
    for turn in count(1):
        for sentence in _SENTENCES:
            yield f"{turn}. {sentence}"


def prompt_of(backend: Backend, context_tokens: int, *, spans: int = 2) -> EncodedPrompt:
    """A prompt whose context has exactly so many tokens, cut into spans of equal length; the last takes the remainder.

    Raises:
        ValueError: the context is too short to hold the spans.
    """
    source, text = sentences(), ""
    while True:
        text = " ".join([text, *islice(source, 1 + context_tokens // 8)])
        encoded = _encode(backend, (text,))
        if len(encoded.context_ids) >= context_tokens:
            break
    start = encoded.span_map.spans[0].start
    each = (context_tokens - start) // spans
    if each < 1:
        raise ValueError(f"a context of {context_tokens} tokens cannot hold {spans} spans after {start} of preamble")
    borders = [start + each * index for index in range(spans)] + [context_tokens]
    ranges = tuple(SpanTokens(f"s{index + 1}", *borders[index : index + 2]) for index in range(spans))
    return replace(encoded, context_ids=encoded.context_ids[:context_tokens], span_map=SpanMap(ranges, context_tokens))


def request_of(backend: Backend, *, spans: int, span_tokens: int, same_answer: bool) -> AnswerRequest:
    """A request to check: every span names a time of departure and goes on about the island.

    A span has the largest number of whole sentences that `span_tokens` holds, and at least the first.
    """
    texts = []
    for index in range(spans):
        minutes = 485 if same_answer else 485 + 10 * index
        texts.append(_fill(backend, f"The ferry to Ransey leaves at {minutes // 60}:{minutes % 60:02}.", span_tokens))
    return AnswerRequest(spans=tuple(Span(text=text, language="en") for text in texts), question=QUESTION)


def answer_request(backend: Backend, *, context_tokens: int, max_tokens: int) -> AnswerRequest:
    """A steered request over two spans whose answer is shown whatever the verdict is."""
    request = request_of(backend, spans=2, span_tokens=context_tokens // 2, same_answer=False)
    return replace(
        request,
        question=OPEN_QUESTION,
        rebalance=Rebalance(policy="fixed", bias={"s1": 1.0}),
        decoding=Decoding(max_tokens=max_tokens),
        on_conflict=OnConflict.PLAIN,
        on_error=OnError.OPEN,
    )


def prompt_ids(backend: Backend, request: AnswerRequest) -> tuple[int, ...]:
    """Token ids of the joint prompt that a request turns into."""
    encoded = _encode(backend, tuple(span.text or "" for span in request.spans), request.question)
    return (*encoded.context_ids, *encoded.joint_tail)


def _fill(backend: Backend, first: str, tokens: int) -> str:
    text = first
    for sentence in sentences():
        longer = f"{text} {sentence}"
        if len(_encode(backend, (longer,)).span_map.spans[0]) > tokens:
            return text
        text = longer
    raise AssertionError("sentences() never ends")


def _encode(backend: Backend, texts: tuple[str, ...], question: str = QUESTION) -> EncodedPrompt:
    spans = tuple(
        ContextSpan(Span(f"s{index}", text, language="en"), "text", "en") for index, text in enumerate(texts, start=1)
    )
    return backend.encode(Context(spans, question), Prompt.STANDARD)
