"""What turns a base's texts and pictures into what it reads, as the base is served. Loads no weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from xmguard.backends.transformers.pictures import chat_template
from xmguard.backends.transformers.processors import load_processor
from xmguard.plugins import Registry
from xmguard_research.mixing.modelling import OPTIONS, Base
from xmguard_research.mixing.pictures import InstancePictures


@dataclass(frozen=True)
class Reader:
    """Of one base."""

    tokenizer: Any
    template: str | None
    """Chat template."""
    processor: Any = None
    """Of a base that reads pictures."""
    pictures: InstancePictures | None = None
    """Of a base that reads pictures."""

    def save(self, folder: Path) -> None:
        """Into a model folder."""
        (self.processor or self.tokenizer).save_pretrained(folder)


def load_reader(base: Base, registry: Registry) -> Reader:
    """The base's tokenizer, and its processor if it reads pictures.

    Raises:
        ModelRefused: its processor cannot be read, or cannot be asked about a single picture.
    """
    if not base.reads_pictures:
        tokenizer = AutoTokenizer.from_pretrained(base.path, use_fast=True, **OPTIONS)
        return Reader(tokenizer, getattr(tokenizer, "chat_template", None))
    processor = load_processor(base.path, OPTIONS)
    placeholder = AutoConfig.from_pretrained(base.path, **OPTIONS).image_token_id
    pictures = InstancePictures(processor, placeholder, registry, base.name)
    return Reader(processor.tokenizer, chat_template(processor), processor, pictures)
