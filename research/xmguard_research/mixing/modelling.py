"""The model that is trained: a base as it is found on this machine, with an adapter or with all its weights free.

Knows no data.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from xmguard.backends.transformers.families import examine
from xmguard.backends.transformers.families.layout import rope_index, text_section, types_its_tokens
from xmguard.backends.transformers.pictures import chat_template
from xmguard.backends.transformers.processors import load_processor
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.models.resolve import resolve
from xmguard.parts import IMAGE
from xmguard.plugins import Registry
from xmguard.profile import CARD
from xmguard_research.mixing import grouped
from xmguard_research.mixing.pictures import InstancePictures
from xmguard_research.mixing.recipe import Recipe, Train

_OPTIONS: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Base:
    """What a training starts from."""

    name: str
    """Of the model whose weights an adapter belongs to; it becomes the card's `base_model`."""
    path: Path
    """Its folder."""
    adapter: Path | None = None
    """Checkpoint folder whose adapter is trained further."""
    reads_pictures: bool = False

    @property
    def card(self) -> dict[str, Any]:
        """Of the folder that training starts from; empty if it has none."""
        try:
            card: dict[str, Any] = json.loads(((self.adapter or self.path) / CARD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return card


def find_base(recipe: Recipe, registry: Registry) -> Base:
    """Where a recipe's base lies; of a checkpoint folder with an adapter, where the adapter's base lies.

    Raises:
        ModelNotFound: it is not on this machine.
        ModelRefused: a checkpoint folder whose card names no base.
    """
    folder = Path(recipe.base_model).expanduser()
    if not (folder / ADAPTER).is_file():
        return _found(recipe.base, recipe.base_model, registry)
    card = Base(recipe.base, folder).card
    if "base_model" not in card:
        raise ModelRefused(recipe.base, [f"it holds an adapter, and no {CARD} names the base of it"])
    return replace(_found(card["base_model"], card["base_model"], registry), adapter=folder)


def _found(name: str, wanted: str, registry: Registry) -> Base:
    path = resolve(wanted, registry).path
    return Base(name, path, reads_pictures=IMAGE in examine(path, registry.architectures.items).modalities)


@dataclass(frozen=True)
class Reader:
    """What turns a base's texts and pictures into what it reads."""

    tokenizer: Any
    template: str | None
    """Chat template."""
    processor: Any | None = None
    """Of a base that reads pictures."""
    pictures: InstancePictures | None = None
    """Of a base that reads pictures."""


def load_reader(base: Base, registry: Registry) -> Reader:
    """As the base is served.

    Raises:
        ModelRefused: its processor cannot be read.
    """
    if not base.reads_pictures:
        tokenizer = AutoTokenizer.from_pretrained(base.path, use_fast=True, **_OPTIONS)
        return Reader(tokenizer, getattr(tokenizer, "chat_template", None))
    processor = load_processor(base.path, _OPTIONS)
    placeholder = AutoConfig.from_pretrained(base.path, **_OPTIONS).image_token_id
    pictures = InstancePictures(processor, placeholder, registry, base.name)
    return Reader(processor.tokenizer, chat_template(processor), processor, pictures)


def load_model(base: Base, train: Train) -> Any:
    """The model to train: a PEFT model with float32 adapter weights, or the whole model.

    Of a model that reads pictures the language model is trained; its eyes stay as they are. Weights that are not
    trained lie in the precision they are multiplied in, so that none is cast at every step.

    Raises:
        InvalidRequest: the adapter that is to be trained further has another shape than the recipe says.
    """
    frozen = torch.bfloat16 if train.precision == "bf16" else torch.float32
    auto = AutoModelForImageTextToText if base.reads_pictures else AutoModelForCausalLM
    model = auto.from_pretrained(
        base.path,
        dtype=frozen if train.method == "lora" else torch.float32,
        attn_implementation=_attention(base.path, auto),
        use_safetensors=True,
        **_OPTIONS,
    )
    outside = _outside(model) if base.reads_pictures else None
    torch.manual_seed(train.seed)
    if train.method == "full":
        whole = model if base.adapter is None else PeftModel.from_pretrained(model, base.adapter).merge_and_unload()
        return whole if outside is None else _frozen(whole, outside)
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=train.rank,
        lora_alpha=train.alpha,
        lora_dropout=train.dropout,
        target_modules=list(train.modules),
        exclude_modules=outside,
    )
    if base.adapter is None:
        return get_peft_model(model, config)
    _check_same(base, train)
    return PeftModel.from_pretrained(model, base.adapter, is_trainable=True)


def check_pictures(base: Base, model: Any) -> None:
    """Refuse a model whose reading of pictures is told more than where they stand.

    Raises:
        ModelRefused: it places a picture's tokens in three dimensions, or lets them read each other both ways.
    """
    asked = model.get_base_model() if isinstance(model, PeftModel) else model
    reasons = []
    if rope_index(asked):
        reasons.append("it places the tokens of pictures in three dimensions, which training here does not")
    if types_its_tokens(asked):
        reasons.append("it lets the tokens of a picture read each other both ways, which training here does not")
    if reasons:
        raise ModelRefused(base.name, reasons)


def _outside(model: Any) -> str:
    """Pattern of the names of all modules that are none of the language model's."""
    decoder = model.get_decoder()
    (name,) = (name for name, module in model.named_modules() if module is decoder)
    return rf"(?!{re.escape(name)}\.).*"


def _frozen(model: Any, outside: str) -> Any:
    """The model, of which everything outside but the head is not trained."""
    head = {id(weight) for weight in model.get_output_embeddings().parameters()}
    for name, weight in model.named_parameters():
        weight.requires_grad_(id(weight) in head or not re.fullmatch(outside, name))
    return model


def _attention(path: Path, auto: Any) -> str | dict[str, str] | None:
    """Which attention is fastest here; None leaves it to transformers for families that have their own.

    Of a model that reads pictures the language model's: a vision tower attends both ways.
    """
    config = AutoConfig.from_pretrained(path, **_OPTIONS)
    if torch.cuda.is_available() or not auto._model_mapping[type(config)]._supports_sdpa:
        return None
    grouped.install()
    section = text_section(config)
    return grouped.IMPLEMENTATION if section is None else {section: grouped.IMPLEMENTATION}


def _check_same(base: Base, train: Train) -> None:
    """An adapter that is trained further keeps its shape and the rows it acts on."""
    assert base.adapter is not None
    found = json.loads((base.adapter / ADAPTER).read_text(encoding="utf-8"))
    pairs = {
        "rank": (train.rank, found["r"]),
        "alpha": (train.alpha, found["lora_alpha"]),
        "modules": (sorted(train.modules), sorted(found["target_modules"])),
        "acts_on": (train.acts_on, base.card.get("adapter", {}).get("acts_on")),
    }
    for name, (wanted, given) in pairs.items():
        if wanted != given:
            raise InvalidRequest.field(
                f"train.{name}",
                f"is {wanted}, and the adapter of {base.adapter} that is to be trained further has {given}",
            )
