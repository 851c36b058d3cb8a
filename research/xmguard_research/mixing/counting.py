"""How many tokens a base model makes of messages: as many as training encodes, since the same encoder says so.

Reads a tokenizer, and the processor of a base that reads pictures; never weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache

from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.plugins import load_plugins
from xmguard_research.mixing.items import ASSISTANT, Image, Item, Message


class TokenCounter:
    """Counts tokens for one base."""

    def __init__(self, base: str, *, pictures: bool) -> None:
        """Read the tokenizer of a base; `pictures` is whether it has to read some.

        Raises:
            ModelNotFound: there is no such model here.
            ModelRefused: it has no chat template that takes conversations, or reads no pictures and has to; its
                adapter is on another base than lies here.
        """
        from xmguard_research.mixing.bases import find_base
        from xmguard_research.mixing.readers import encoder_of, load_reader

        registry = load_plugins()
        found = find_base(base, registry)
        if pictures and not found.reads_pictures:
            raise ModelRefused(
                base, ["it reads no pictures, and the recipe's sources hold some; take a base that does"]
            )
        reader = load_reader(found, registry)
        if not reader.template:
            raise ModelRefused(base, ["it has no chat template to write a conversation in; take an instruction model"])
        self._encoder = encoder_of(found, reader, registry)
        self._pictures = reader.pictures
        self.sha256 = hashlib.sha256((found.path / "tokenizer.json").read_bytes()).hexdigest()
        """Of the tokenizer's file."""
        self._text = cache(self._of_text)  # the items hold the texts in any case
        self._picture = cache(self._of_picture)

    def item(self, item: Item) -> int:
        """Tokens of an item that carry a loss."""
        return self.trained(item.messages)

    def trained(self, messages: Sequence[Message]) -> int:
        """Tokens that carry a loss: of every reply, and what ends it."""
        frame = self._encoder.frame(tuple(message.role for message in messages))
        replies = [place for place, message in enumerate(messages) if message.role == ASSISTANT]
        return sum(self._parts(messages[place].content) + len(frame.after[place]) for place in replies)

    def read(self, messages: Sequence[Message]) -> int:
        """All tokens of a conversation, with those of the chat template up to the end of the last reply."""
        frame = self._encoder.frame(tuple(message.role for message in messages))
        around = sum(map(len, (*frame.before, *frame.after)))
        return around + sum(self._parts(message.content) for message in messages)

    def _parts(self, parts: Sequence[str | Image]) -> int:
        return sum(self._picture(part) if isinstance(part, Image) else self._text(part) for part in parts)

    def _of_text(self, text: str) -> int:
        try:
            return len(self._encoder.ids(text))
        except InvalidRequest as error:
            raise InvalidRequest.field(f"text {text[:60]!r}", error.violations[0].description) from error

    def _of_picture(self, image: Image) -> int:
        assert self._pictures is not None  # or the base would have been refused
        seen = image.seen()
        return self._pictures.count(seen.content, seen.suffix, f"{image.where}: picture {image.name}")
