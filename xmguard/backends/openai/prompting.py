"""Turns spans and a question into the one message that an API is sent, spans left out where they are removed.

The words are those of the language's plugin, as for every engine. A chat API lets nobody begin the model's reply, so an
opening ends the message instead. Knows no tokens: the ids of a prompt are its texts (`pieces`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from xmguard.backends.openai.pictures import data_url
from xmguard.backends.openai.pieces import piece, text
from xmguard.backends.span_parts import refuse_pictures, span_parts
from xmguard.context import Context, EncodedPrompt, SpanMap, SpanTokens
from xmguard.parts import IMAGE, ImagePart, Part
from xmguard.plugins import Registry
from xmguard.prompt_text import QUESTION
from xmguard.request import Prompt

CONFLICT, AGREEMENT, UNANSWERED = VERDICTS = ("conflict", "agreement", "unanswered")
"""What the model may say of a pair, in the order of a pair probe's logits; they differ in their first letter."""
PROBE_TASK = (
    "\n\nDo the sources above contradict each other about this question, or do they agree?\n{question}\n"
    f"Reply with one word: {CONFLICT} if they contradict each other, {AGREEMENT} if both lead to the same answer, "
    f"{UNANSWERED} if one of them does not answer the question."
)

PICTURE_TOKENS = 2048
"""What a picture is taken to be: an API tells only afterwards, and scales large ones down to about this or less."""


@dataclass(frozen=True)
class Written:
    """The context of a prompt in its parts: what `EncodedPrompt.media` is here."""

    preamble: str
    separator: str
    spans: tuple[tuple[str, tuple[Part, ...]], ...]
    """Id and parts of every span."""

    @property
    def tokens(self) -> int:
        """At most: no vocabulary takes more tokens than a text has bytes."""
        parts = [part for _, own in self.spans for part in own]
        texts = [part.text for part in parts if not isinstance(part, ImagePart)]
        pictures = (len(parts) - len(texts)) * PICTURE_TOKENS
        return len("".join((self.preamble, self.separator * len(self.spans), *texts)).encode()) + pictures

    def message(self, removed: Collection[str], tail: Sequence[int]) -> str | list[dict[str, Any]]:
        """The content of the message that asks `tail` of the spans that are not removed."""
        kept = [parts for name, parts in self.spans if name not in removed]
        contents: list[str | ImagePart] = [self.preamble]
        for index, parts in enumerate(kept):
            contents += [self.separator] if index else []
            contents += [part if isinstance(part, ImagePart) else part.text for part in parts]
        contents.append(text(tail))
        if not any(isinstance(one, ImagePart) for one in contents):
            return "".join(one for one in contents if isinstance(one, str))
        return [
            {"type": "image_url", "image_url": {"url": data_url(one)}}
            if isinstance(one, ImagePart)
            else {"type": "text", "text": one}
            for one in contents
        ]


class MessageWriter:
    """Writes the messages for one model. Stateless."""

    def __init__(self, registry: Registry, *, pictures: bool) -> None:
        """`pictures`: whether the model reads them."""
        self._registry = registry
        self._pictures = pictures

    def encode(self, context: Context, prompt: Prompt) -> EncodedPrompt:
        """The prompt, its spans as ranges of pieces; `media` is a `Written`.

        Raises:
            InvalidRequest: naming every span whose content its modality refuses.
            ModalityNotSupported: naming every span that holds a picture, and the model reads none.
        """
        if not self._pictures:
            refuse_pictures((n for n, span in enumerate(context.spans) if span.modality == IMAGE), self._registry)
        spans = tuple((name, tuple(parts)) for name, parts in span_parts(context, self._registry))
        if not self._pictures:  # a modality of any name may hand over pictures
            shown = (n for n, (_, parts) in enumerate(spans) if any(isinstance(part, ImagePart) for part in parts))
            refuse_pictures(shown, self._registry)
        said = self._registry.languages.items[context.asked_in].prompt_text
        ids = [piece(said.preamble)]
        ranges = []
        for index, (name, parts) in enumerate(spans):
            ids += [piece(said.separator)] if index else []
            start = len(ids)
            ids += [_id(part) for part in parts]
            ranges.append(SpanTokens(name, start, len(ids)))
        return EncodedPrompt(
            tuple(ids),
            SpanMap(tuple(ranges), len(ids)),
            self.tail(said.tasks[prompt].replace(QUESTION, context.question)),
            self.tail(said.alone_task.replace(QUESTION, context.question), said.alone_opening),
            self.tail(PROBE_TASK.replace(QUESTION, context.question)),
            media=Written(said.preamble, said.separator, spans),
        )

    def tail(self, task: str, opening: str = "") -> tuple[int, ...]:
        """Ids of what ends the message."""
        return (piece(f"{task}\n{opening}" if opening else task),)


def _id(part: Part) -> int:
    return piece(sha256(part.rgb).digest() if isinstance(part, ImagePart) else part.text)
