"""Tiny models with random weights that read pictures: every family's own classes and processor, no download."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmguard.testing.tiny import CONFIG, NO_SPECIAL_TOKENS, make_tokenizer, sharpen

VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
"""Of most vision towers: four patches of a picture."""
PARTS_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template that takes messages in parts only; IMAGE stands for what it writes for a picture."""


@dataclass(frozen=True)
class PictureFamily:
    """How to make a tiny model of one architecture."""

    name: str
    special: tuple[str, ...]
    """Its own special tokens."""
    processor: Callable[[Any], Any]
    """From a tokenizer."""
    config: Callable[[Any, Mapping[str, Any]], Any]
    """From a tokenizer and the settings of a text model."""
    picture: str | None = None
    """What its chat template writes for a picture; None for a template that takes text only."""


def _llava_processor(tokenizer: Any) -> Any:
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    images = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return LlavaProcessor(
        images, tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )


def _llava_config(tokenizer: Any, text: Mapping[str, Any]) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    return LlavaConfig(
        text_config=LlamaConfig(**text),
        vision_config=CLIPVisionConfig(**VISION),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )


PICTURE_FAMILIES = {
    "Llava": PictureFamily("LLaVA", ("<image>",), _llava_processor, _llava_config),
}
"""By the architecture's name without `ForConditionalGeneration`."""


def make_picture_model(folder: Path, family: str = "Llava", *, seed: int = 0) -> Path:
    """Save a tiny model that reads pictures, with its processor; like `xmguard.testing.make_model`.

    Args:
        folder: where to save it.
        family: a key of `PICTURE_FAMILIES`.
        seed: of the weights.

    Returns:
        The folder.
    """
    import torch
    import transformers

    made = PICTURE_FAMILIES[family]
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(*made.special)
    if made.picture is not None:
        tokenizer.chat_template = PARTS_TEMPLATE.replace("IMAGE", made.picture)
    text = CONFIG | NO_SPECIAL_TOKENS | {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    config = made.config(tokenizer, text)
    config.tie_word_embeddings = False
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config)
    sharpen(model)
    # A logit of 0 is never the largest: no answer ends early, none holds a placeholder.
    model.lm_head.weight.data[list(tokenizer.added_tokens_decoder)] = 0.0
    model.save_pretrained(folder)
    made.processor(tokenizer).save_pretrained(folder)
    return folder
