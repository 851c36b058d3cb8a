"""How many tokens a base model makes of messages. Adjacent texts are tokenised each by itself, as prompts are served.

Reads a tokenizer, and a processor where there are pictures; never weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from xmguard.errors import InvalidRequest, ModelNotFound, ModelRefused
from xmguard.models.resolve import resolve
from xmguard.plugins import Registry, load_plugins
from xmguard_research.mixing.items import ASSISTANT, Image, Item, Message

_OPTIONS: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


class TokenCounter:
    """Counts tokens for one base."""

    def __init__(self, base: str, *, pictures: bool) -> None:
        """Read the tokenizer of a base, and its processor if there are `pictures`.

        Raises:
            ModelNotFound: there is no such model here.
            ModelRefused: it has no chat template that takes conversations, or reads no pictures and has to.
        """
        from transformers import AutoTokenizer

        from xmguard.backends.transformers.prompting import PromptEncoder

        self._base = base
        registry = load_plugins()
        folder = base_folder(base, registry)
        self._reader: Any = None
        if pictures:
            processor, self._reader = _picture_reader(base, folder, registry)
            self._tokenizer: Any = processor.tokenizer
            self._template = getattr(processor, "chat_template", None) or self._tokenizer.chat_template
        else:
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, **_OPTIONS)
            except Exception as error:  # whatever its files hold; the tokenizers library raises Exception itself
                said = " ".join(str(error).split())[:300]
                raise ModelRefused(base, [f"its tokenizer cannot be read: {said}"]) from error
            self._template = self._tokenizer.chat_template
        if not self._template:
            raise ModelRefused(base, ["it has no chat template to write a conversation in; take an instruction model"])
        self._encoder = PromptEncoder(self._tokenizer, registry, base, template=self._template)
        self.sha256 = hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()
        """Of the tokenizer's file."""
        self._frame = cache(self._framed)
        self._text = cache(self._of_text)  # the items hold the texts in any case
        self._picture = cache(self._of_picture)
        self._sized = cache(self._of_size)

    def item(self, item: Item) -> int:
        """Tokens of an item that carry a loss."""
        return sum(self._parts(parts) + 1 for parts in item.answers)

    def trained(self, messages: Iterable[Message]) -> int:
        """Tokens that carry a loss: of every reply, and one that ends it."""
        return sum(self._parts(message.content) + 1 for message in messages if message.role == ASSISTANT)

    def read(self, messages: Sequence[Message]) -> int:
        """All tokens of a conversation, with those of the chat template up to the end of the last reply."""
        frame = self._frame(tuple(message.role for message in messages))
        return frame + sum(self._parts(message.content) for message in messages)

    def _parts(self, parts: Sequence[str | Image]) -> int:
        return sum(self._picture(part) if isinstance(part, Image) else self._text(part) for part in parts)

    def _of_text(self, text: str) -> int:
        try:
            return len(self._encoder.ids(text))
        except InvalidRequest as error:
            raise InvalidRequest.field(f"text {text[:60]!r}", error.violations[0].description) from error

    def _of_picture(self, image: Image) -> int:
        return self._sized(*image.seen().size)

    def _of_size(self, width: int, height: int) -> int:
        """Tokens of a picture: processors decide by its size alone."""
        from xmguard.parts import ImagePart

        return len(self._reader.read(ImagePart(width, height, bytes(3 * width * height))).ids)

    def _framed(self, roles: tuple[str, ...]) -> int:
        """Tokens of the template around messages of some roles."""
        markers = [f"xmguard{index}marker" for index in range(len(roles))]
        rest = self._rendered(roles, markers)
        pieces = []
        for marker in markers:
            before, found, rest = rest.partition(marker)
            if not found or marker in rest:
                raise ModelRefused(self._base, ["its chat template does not repeat every message once and in order"])
            pieces.append(before)
        ids = [self._tokenizer(piece, add_special_tokens=False)["input_ids"] for piece in (*pieces, rest)]
        end = self._tokenizer.eos_token_id
        if end in ids[-1]:  # a conversation is over with its last reply, whatever the template writes after it
            ids[-1] = ids[-1][: ids[-1].index(end) + 1]
        return sum(map(len, ids))

    def _rendered(self, roles: Sequence[str], texts: Sequence[str]) -> str:
        messages: list[dict[str, Any]] = [
            {"role": role, "content": text} for role, text in zip(roles, texts, strict=True)
        ]
        in_parts = [said | {"content": [{"type": "text", "text": said["content"]}]} for said in messages]
        for form in (messages, in_parts):
            try:
                written: str = self._tokenizer.apply_chat_template(form, chat_template=self._template, tokenize=False)
            except Exception:  # a template is a program and fails in its own way
                continue
            if all(text in written for text in texts):
                return written
        raise ModelRefused(self._base, [f"its chat template takes no conversation of {', '.join(roles)}"])


def base_folder(base: str, registry: Registry) -> Path:
    """Folder of a base's tokenizer: of a checkpoint that holds an adapter, that of the model it was made for.

    Raises:
        ModelNotFound: there is no such model here.
    """
    card = Path(base).expanduser() / "xmguard.json"
    if card.is_file() and not card.with_name("config.json").is_file():
        try:
            named = str(json.loads(card.read_text(encoding="utf-8"))["base_model"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelNotFound(f"{card} names no base_model, so {base} is no checkpoint folder") from error
        return base_folder(named, registry)
    return resolve(base, registry).path


def _picture_reader(base: str, folder: Path, registry: Registry) -> tuple[Any, Any]:
    from transformers import AutoConfig

    from xmguard.backends.transformers.families import examine
    from xmguard.backends.transformers.pictures import PictureReader
    from xmguard.backends.transformers.processors import load_processor

    examine(folder, registry.architectures.items)  # registers the classes that a plugin brings
    config = AutoConfig.from_pretrained(folder, **_OPTIONS)
    placeholder = getattr(config, "image_token_id", None)
    if placeholder is None:
        raise ModelRefused(base, ["it reads no pictures, and the recipe's sources hold some; take a base that does"])
    processor = load_processor(folder, _OPTIONS)
    return processor, PictureReader(processor, placeholder, base)
