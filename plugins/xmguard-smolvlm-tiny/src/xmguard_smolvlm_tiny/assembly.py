"""Puts the model together from a language model's folder and the parts that travel, and saves it.

Knows neither where the folder came from nor where the result goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AddedToken, AutoConfig, AutoTokenizer, GenerationConfig
from transformers.utils import logging

from xmguard_smolvlm_tiny.configuration import SmolVlmTinyConfig, SmolVlmTinyVisionConfig
from xmguard_smolvlm_tiny.modeling import SmolVlmTinyForConditionalGeneration
from xmguard_smolvlm_tiny.processing import (
    CHAT_TEMPLATE,
    IMAGE_TOKEN,
    SmolVlmTinyImageProcessor,
    SmolVlmTinyProcessor,
)

LORA_A, LORA_B = ".lora_A.weight", ".lora_B.weight"


def make_processor(base: Path, vision: SmolVlmTinyVisionConfig) -> SmolVlmTinyProcessor:
    """The processor: the language model's tokenizer with `<image>` added."""
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    tokenizer.add_tokens([AddedToken(IMAGE_TOKEN, special=True, normalized=False)], special_tokens=True)
    tokenizer.chat_template = CHAT_TEMPLATE
    return SmolVlmTinyProcessor(
        SmolVlmTinyImageProcessor(size={"height": vision.image_size, "width": vision.image_size}),
        tokenizer,
        image_seq_length=vision.grid**2,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(
    base: Path, vision: SmolVlmTinyVisionConfig, tokenizer: Any, tower: Mapping[str, Tensor]
) -> SmolVlmTinyForConditionalGeneration:
    """The model in float32 with the base's language model, the tower's weights, and a projector that knows nothing.

    The placeholder's row of the embeddings, which is never read, is the mean of the others: its logit is then the mean
    of the other logits, so it is never the largest.

    Raises:
        ValueError: the base's head does not share the embeddings' weights, as SmolLM2's does.
    """
    text = AutoConfig.from_pretrained(base, local_files_only=True)
    if not text.tie_word_embeddings:
        raise ValueError(f"{base} has a head of its own; only a language model that shares its embeddings is adapted")
    text.vocab_size = len(tokenizer)
    text.dtype = "float32"
    config = SmolVlmTinyConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        tie_word_embeddings=True,
    )
    model: SmolVlmTinyForConditionalGeneration = SmolVlmTinyForConditionalGeneration(config)
    state: dict[str, Tensor] = {}
    for file in sorted(base.glob("*.safetensors")):
        state |= load_file(file)
    rows = state["model.embed_tokens.weight"]
    state["model.embed_tokens.weight"] = torch.cat([rows, rows.mean(dim=0, keepdim=True)])
    language = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
    model.model.language_model.load_state_dict(language)
    model.model.vision_tower.load_state_dict(tower)
    model.generation_config = GenerationConfig.from_pretrained(base, local_files_only=True)
    model.generation_config.suppress_tokens = [config.image_token_id]
    model.eval()
    return model


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one part in float32, without the part's name."""
    return {name.removeprefix(prefix): value.float() for name, value in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def adapt(model: SmolVlmTinyForConditionalGeneration, tensors: Mapping[str, Tensor], scale: float) -> None:
    """Load the projector, and merge the adapter into the language model: W + scale * B A.

    Raises:
        KeyError: half of an adapter is missing.
        AttributeError: it is of a module that the language model has not.
    """
    model.model.projector.load_state_dict(part(tensors, "projector."))
    adapter = part(tensors, "language_model.")
    for name in sorted(adapter):
        if name.endswith(LORA_A):
            module = name.removesuffix(LORA_A)
            change = scale * (adapter[module + LORA_B] @ adapter[name])
            model.model.language_model.get_submodule(module).weight.add_(change)


def assemble(base: Path, tensors: Path, *, vision: Mapping[str, Any], lora_scale: float, folder: Path) -> None:
    """Write the whole model into `folder`, as `from_pretrained` reads it."""
    travelling = load_file(tensors)
    settings = SmolVlmTinyVisionConfig(**vision)
    processor = make_processor(base, settings)
    model = make_model(base, settings, processor.tokenizer, part(travelling, "vision_tower."))
    adapt(model, travelling, lora_scale)
    with _without_bars():
        model.save_pretrained(folder)
    processor.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # weights are written 0600; a cache filled by one user is read by others


@contextmanager
def _without_bars() -> Iterator[None]:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
