"""Follows one streamed answer: from the API's chunks to pieces of text, with log-probabilities where it tells them.

The text is what counts. Log-probabilities come in tokens of their own, which are laid onto the text as long as they
spell it; where they stop doing so, what follows has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"


class Malformed(Exception):
    """A chunk is nothing that the API of chat completions knows."""


@dataclass(frozen=True)
class Piece:
    """A token, or a stretch of text where tokens are not told."""

    content: bytes
    """UTF-8; may end inside a character."""
    logprob: float | None = None
    """Nats."""
    likeliest: Mapping[str, float] = field(default_factory=dict)
    """Texts of the likeliest tokens at this place to their log-probabilities, nats; empty where they are not told."""


@dataclass(frozen=True)
class Tokens:
    """What a call has cost, as the API counts it."""

    prompt: int
    generated: int
    cached: int


@dataclass(frozen=True)
class _Told:
    """A token as the log-probabilities tell it."""

    content: bytes
    logprob: float | None
    likeliest: Mapping[str, float]


class Reply:
    """One answer while it comes."""

    def __init__(self) -> None:
        self.finish = ""
        """Why it ended, in the API's words; empty while it has not."""
        self.tokens: Tokens | None = None
        """None as long as the API has not told."""
        self.tells = False
        """Whether log-probabilities were told."""
        self.reasoned = False
        """Whether the model was heard to think before it spoke."""
        self._text = b""
        self._told: list[_Told] = []
        self._halves: list[float | None] = []
        self._in_step = True
        self._begun = False

    def take(self, chunk: Any) -> list[Piece]:
        """The pieces that a chunk completes, as the client made it: whatever the API sent may be in it.

        Raises:
            Malformed: it is no chunk of a chat completion.
        """
        try:
            plain = chunk.to_dict(mode="python", warnings=False)
            self._count(plain.get("usage"))
            for choice in plain["choices"]:
                delta = choice.get("delta") or {}
                self._text += (delta.get("content") or delta.get("refusal") or "").encode(errors="replace")
                self.reasoned |= bool(delta.get("reasoning_content") or delta.get("reasoning"))
                told = [_told(one) for one in (choice.get("logprobs") or {}).get("content") or []]
                self.tells |= any(one.logprob is not None for one in told)
                self._told += told
                self.finish = str(choice.get("finish_reason") or self.finish)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise Malformed(f"{type(error).__name__} in a chunk of its answer: {str(chunk)[:80]}") from error
        return self._pieces()

    def rest(self) -> list[Piece]:
        """What is left when the answer is over."""
        self._in_step = False
        return self._pieces()

    def _pieces(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self._in_step and self._told and self._text:
            told = self._told[0]
            spelled = self._spelled(told.content)
            if spelled.startswith(self._text) and len(spelled) > len(self._text):
                return pieces  # more of this token's text is to come
            self._in_step = self._text.startswith(spelled)
            if self._in_step:
                self._told.pop(0)
                self._text = self._text[len(spelled) :]
                self._halves.append(told.logprob)
                if spelled:
                    pieces.append(Piece(spelled, self._joined(), told.likeliest))
        # Text comes with its tokens; what has none never gets any.
        if self._text and (not self._in_step or not self._told):
            self._in_step = False
            pieces.append(Piece(self._text))
            self._text = b""
        return pieces

    def _spelled(self, content: bytes) -> bytes:
        """What a token comes to at the beginning of the text that is left."""
        if self._text.startswith(content):
            return content
        if not self._begun and self._text.startswith(content.lstrip()):
            return content.lstrip()  # some servers drop the space before an answer's first word
        # Halves that no character came of are told as nothing, and shown as the replacement character.
        unread = len(self._text) - len(self._text.decode(errors="replace").lstrip(_NO_CHARACTER).encode())
        return self._text[:unread] + content if self._halves else content

    def _joined(self) -> float | None:
        """Nats of a character whose tokens came one by one, all but the last of which were told as nothing."""
        halves, self._halves, self._begun = self._halves, [], True
        known = [nats for nats in halves if nats is not None]
        return math.fsum(known) if len(known) == len(halves) else None

    def _count(self, usage: Any) -> None:
        if usage:
            details = usage.get("prompt_tokens_details") or {}
            self.tokens = Tokens(
                int(usage["prompt_tokens"]), int(usage["completion_tokens"]), int(details.get("cached_tokens") or 0)
            )
            thought = usage.get("completion_tokens_details") or {}
            self.reasoned |= bool(thought.get("reasoning_tokens"))


def _told(entry: Mapping[str, Any]) -> _Told:
    content = entry.get("bytes")
    spelled = str(entry["token"]).encode(errors="replace") if content is None else bytes(content)
    likeliest: Sequence[Mapping[str, Any]] = entry.get("top_logprobs") or []
    told = {str(one["token"]): value for one in likeliest if (value := _nats(one["logprob"])) is not None}
    return _Told(spelled, _nats(entry["logprob"]), told)


def _nats(value: Any) -> float | None:
    """A log-probability; None where it is none, as NaN and what is above 0 are."""
    nats = float(value)
    return nats if math.isfinite(nats) and nats <= 1e-6 else None
