"""A request's spans once their modality and language are known, and where each landed among the tokens.

Pure values. Token positions are carried through encoding by whoever writes a `SpanMap`; nothing here, and nothing
anywhere else, finds a span again by searching text or tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from xmguard.span import Span

ENGLISH = "en"
"""The language in which questions are put unless they are clearly in another one. It is always there."""


@dataclass(frozen=True)
class ContextSpan:
    """A span whose id, modality and language are settled."""

    span: Span
    modality: str
    """Name of the modality plugin that encodes it, for example `text`."""
    language: str
    """BCP-47 tag, `und` when nothing recognised it."""

    @property
    def id(self) -> str:
        """The span's id."""
        return self.span.id


@dataclass(frozen=True)
class Context:
    """The evidence, in the caller's order, and the question about it."""

    spans: tuple[ContextSpan, ...]
    question: str
    asked_in: str = ENGLISH
    """BCP-47 primary tag of the language in which the question is put and answers are asked for; it has a plugin."""
    question_language: str = ENGLISH
    """BCP-47 primary tag of the language that the question itself is clearly in, whether or not it has a plugin."""


@dataclass(frozen=True)
class SpanTokens:
    """Half-open range of token positions that one span took."""

    span_id: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class SpanMap:
    """Where the spans of a prompt lie. Ranges are ordered, non-empty and do not overlap.

    Positions from `context_tokens` on (the question's tail and everything generated) are the *readers*.

    Raises:
        ValueError: if the ranges break an invariant; this is a bug of the encoder, not of a caller.
    """

    spans: tuple[SpanTokens, ...]
    context_tokens: int
    """Length of the part of the prompt that ends with the last span."""

    def __post_init__(self) -> None:
        end = 0
        for span in self.spans:
            if not end <= span.start < span.stop <= self.context_tokens:
                raise ValueError(f"span map is broken at {span}: context has {self.context_tokens} tokens")
            end = span.stop

    def __iter__(self) -> Iterator[SpanTokens]:
        return iter(self.spans)

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def ids(self) -> tuple[str, ...]:
        """Span ids in prompt order. Segment k + 1 of a measurement is `ids[k]`; segment 0 is the rest."""
        return tuple(span.span_id for span in self.spans)


Characters = tuple[int, int]
"""Half-open range of characters (code points) of a text."""


@dataclass(frozen=True)
class EncodedPrompt:
    """A context turned into tokens, and the two ways of asking about it."""

    context_ids: tuple[int, ...]
    """Preamble and spans, up to the end of the last span. Shared by every branch."""
    span_map: SpanMap
    joint_tail: tuple[int, ...]
    """Tokens after the context that put the question for the joint answer."""
    alone_tail: tuple[int, ...]
    """Tokens after the context that ask for a short answer; used when spans are read alone."""
    probe_tail: tuple[int, ...] = ()
    """Tokens after the context at whose end the model's pair probe is read; empty for a model without one."""
    unreadable: tuple[str, ...] = ()
    """Field paths of texts that lost characters, because the tokenizer has no token for them."""
    characters: tuple[tuple[Characters | None, ...], ...] = ()
    """Per span, in the order of `span_map`, and per token of it: the characters of `Span.text` it stems from.

    None for a token that stems from none of them. Tokens that share a character (a CJK sign in bytes) all have it.
    Empty when the encoder does not tell.
    """
    media: Any = field(default=None, compare=False, repr=False)
    """What the engine made of pictures and the like. Only the engine that encoded the prompt knows what it is; whoever
    changes the prompt hands it on as it is."""
