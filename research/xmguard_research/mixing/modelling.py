"""The model that is trained: a base with an adapter, or with all its weights free.

Knows no data.
"""

from __future__ import annotations

import json
import re
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import AutoConfig

from xmguard.backends.low_rank import CONFIG
from xmguard.backends.transformers.families.layout import rope_index, text_section, types_its_tokens
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard_research.mixing import grouped
from xmguard_research.mixing.bases import OPTIONS, Base
from xmguard_research.mixing.recipe import Train


def load_model(base: Base, train: Train) -> Any:
    """The model to train: a PEFT model with float32 adapter weights, or the whole model.

    Of a model that reads pictures the language model is trained. Beside an adapter the weights that are not trained lie
    in the precision they are multiplied in, on every device, so that none is cast at every step.

    Raises:
        InvalidRequest: the adapter that is to be trained further has another shape than the recipe says, or `modules`
            names what no layer of the model is called.
        ModelRefused: all weights are to be trained, on top of an adapter that acts on the answer alone.
    """
    frozen = torch.bfloat16 if train.precision == "bf16" else torch.float32
    model = base.auto.from_pretrained(
        base.path,
        dtype=frozen if train.method == "lora" else torch.float32,
        attn_implementation=_attention(base),
        use_safetensors=True,
        **OPTIONS,
    )
    outside = _outside(model) if base.reads_pictures else None
    torch.manual_seed(train.seed)
    if train.method == "full":
        whole = model if base.adapter is None else merged(model, base)
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
        _check_modules(model, base, train, outside)
        try:
            adapted = get_peft_model(model, config)
        except ValueError as error:
            said = " ".join(str(error).split())[:200]
            raise InvalidRequest.field("train.modules", f"cannot be adapted in {base.name}: {said}") from error
    else:
        _check_same(base, train)
        adapted = PeftModel.from_pretrained(model, base.adapter, is_trainable=True)
    for module in adapted.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # to float32, from which autocast would copy it back
    return adapted


def merged(model: Any, base: Base) -> Any:
    """The base's model with the adapter's change in its own weights.

    Raises:
        ModelRefused: the adapter acts on the answer alone.
    """
    assert base.adapter is not None
    if base.card.get("adapter", {}).get("acts_on") == "answer":
        raise ModelRefused(
            str(base.adapter),
            [
                "its adapter acts on the answer alone, and merged weights would act on the sources as well; serve the "
                "folder as it is"
            ],
        )
    return PeftModel.from_pretrained(model, base.adapter).merge_and_unload()


def _attention(base: Base) -> str | dict[str, str] | None:
    """Which attention is fastest here; None leaves it to transformers for families that have their own.

    Of a model that reads pictures the language model's alone: a vision tower attends both ways.
    """
    config = AutoConfig.from_pretrained(base.path, **OPTIONS)
    if torch.cuda.is_available() or not base.auto._model_mapping[type(config)]._supports_sdpa:
        return None
    grouped.install()
    section = text_section(config)
    return grouped.IMPLEMENTATION if section is None else {section: grouped.IMPLEMENTATION}


def check_pictures(base: Base, model: Any) -> None:
    """Refuse a model that is told more of its pictures than where they stand.

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


def _check_modules(model: Any, base: Base, train: Train, outside: str | None) -> None:
    """PEFT adapts what it finds, and says nothing of a name that it finds nowhere.

    An adapter of the head, which lies outside of `model`, would be trained and could not be served.
    """
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith("model.")
        and (outside is None or not re.fullmatch(outside, name))
    ]
    missing = [one for one in train.modules if not any(f".{name}".endswith(f".{one}") for name in layers)]
    if missing:
        called = ", ".join(sorted({name.rpartition(".")[2] for name in layers}))
        raise InvalidRequest.field(
            "train.modules",
            f"names {', '.join(missing)}, and no linear layer of {base.name} that can be adapted is called so; give "
            f"some of {called}",
        )


def _check_same(base: Base, train: Train) -> None:
    """An adapter that is trained further keeps its shape, its dropout and the rows it acts on."""
    assert base.adapter is not None
    found = json.loads((base.adapter / CONFIG).read_text(encoding="utf-8"))
    pairs = {
        "rank": (train.rank, found["r"]),
        "alpha": (train.alpha, found["lora_alpha"]),
        "dropout": (train.dropout, found["lora_dropout"]),
        "modules": (sorted(train.modules), sorted(found["target_modules"])),
        "acts_on": (train.acts_on, base.card.get("adapter", {}).get("acts_on")),
    }
    for name, (wanted, given) in pairs.items():
        if wanted != given:
            raise InvalidRequest.field(
                f"train.{name}",
                f"is {wanted}, and the adapter of {base.adapter} that is to be trained further has {given}",
            )
