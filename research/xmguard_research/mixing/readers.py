"""What turns a base's texts and pictures into what it reads, as the base is served; the same counts and trains.

Loads no weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig
from transformers.utils import GENERATION_CONFIG_NAME

from xmguard.backends.pictures import chat_template
from xmguard.backends.processors import load_processor
from xmguard.errors import ModelRefused
from xmguard.plugins import Registry
from xmguard_research.mixing.bases import OPTIONS, Base
from xmguard_research.mixing.encoding import InstanceEncoder
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
        ModelRefused: one of them cannot be read, or the processor cannot be asked about a single picture.
    """
    if not base.reads_pictures:
        try:
            tokenizer = AutoTokenizer.from_pretrained(base.path, use_fast=True, **OPTIONS)
        except Exception as error:  # whatever its files hold; the tokenizers library raises Exception itself
            said = " ".join(str(error).split())[:300]
            raise ModelRefused(base.name, [f"its tokenizer cannot be read: {said}"]) from error
        return Reader(tokenizer, getattr(tokenizer, "chat_template", None))
    processor = load_processor(base.path, OPTIONS)
    placeholder = AutoConfig.from_pretrained(base.path, **OPTIONS).image_token_id
    pictures = InstancePictures(processor, placeholder, registry, base.name)
    return Reader(processor.tokenizer, chat_template(processor), processor, pictures)


def encoder_of(base: Base, reader: Reader, registry: Registry, folder: Path = Path()) -> InstanceEncoder:
    """Encodes instances for the base; paths of pictures are relative to `folder`.

    Raises:
        ModelRefused: the chat template does not repeat a user's message exactly once, unchanged.
    """
    return InstanceEncoder(
        reader.tokenizer,
        registry,
        base.name,
        _end_ids(base, reader.tokenizer),
        template=reader.template,
        pictures=reader.pictures,
        folder=folder,
    )


def _end_ids(base: Base, tokenizer: Any) -> frozenset[int]:
    """Tokens with which the base ends an answer."""
    found = [tokenizer.eos_token_id]
    if (base.path / GENERATION_CONFIG_NAME).is_file():
        declared = GenerationConfig.from_pretrained(base.path, **OPTIONS).eos_token_id
        found += declared if isinstance(declared, list) else [declared]
    return frozenset(token for token in found if token is not None)
