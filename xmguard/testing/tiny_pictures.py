"""Tiny models with random weights that read pictures: every family's own classes and processor, no download."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xmguard.testing.tiny import CONFIG, NO_SPECIAL_TOKENS, make_tokenizer, sharpen

Settings = dict[str, Any]

VISION: Settings = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
"""Of most vision towers: four patches of a picture."""
QWEN: Settings = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"} | {
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
WINDOW = 150
"""Tokens; ends inside the spans of the parity tests."""
SQUARE = {"height": 16, "width": 16}
GRID = [[16, 32], [32, 16], [32, 32]]
PARTS_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}PICTURE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template that takes messages in parts only; PICTURE stands for what it writes for one."""


@dataclass(frozen=True)
class PictureFamily:
    """How to make a tiny model of one architecture."""

    name: str
    config: Callable[[Settings], Any]
    """From the settings of a text model."""
    tokens: Settings
    """Settings of its configuration that are ids: name to the token."""
    processor: str
    """Name of its processor class."""
    images: tuple[str, Settings]
    """Class of its image processor, and the settings of that."""
    settings: Settings = field(default_factory=dict)
    """Of its processor."""
    special: tuple[str, ...] = ()
    """Further special tokens."""
    named: Settings = field(default_factory=dict)
    """Special tokens that its processor takes from attributes of the tokenizer."""
    picture: str | None = None
    """What its chat template writes for a picture; None for a template that takes text only."""
    text: Settings = field(default_factory=dict)
    """Changes to the settings of its language model."""


def _llava(text: Settings) -> Any:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    return LlavaConfig(text_config=LlamaConfig(**text), vision_config=CLIPVisionConfig(**VISION))


def _llava_next(text: Settings) -> Any:
    from transformers import CLIPVisionConfig, LlavaNextConfig, MistralConfig

    vision = CLIPVisionConfig(**VISION)
    return LlavaNextConfig(text_config=MistralConfig(**text), vision_config=vision, image_grid_pinpoints=GRID)


def _qwen2(text: Settings) -> Any:
    from transformers import Qwen2VLConfig

    vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "patch_size": 4, "hidden_size": text["hidden_size"]}
    return Qwen2VLConfig(text_config=text, vision_config=vision)


def _qwen2_5(text: Settings) -> Any:
    from transformers import Qwen2_5_VLConfig

    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "patch_size": 4, "out_hidden_size": text["hidden_size"]}
    vision |= {"intermediate_size": 48, "window_size": 16, "fullatt_block_indexes": [1]}
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision)


def _gemma3(text: Settings) -> Any:
    from transformers import Gemma3Config, Gemma3TextConfig, SiglipVisionConfig

    return Gemma3Config(
        text_config=Gemma3TextConfig(**text), vision_config=SiglipVisionConfig(**VISION), mm_tokens_per_image=4
    )


def _idefics3(text: Settings) -> Any:
    from transformers import Idefics3Config, LlamaConfig

    return Idefics3Config(text_config=LlamaConfig(**text), vision_config=VISION | {"patch_size": 4}, scale_factor=2)


def _smolvlm(text: Settings) -> Any:
    from transformers import LlamaConfig, SmolVLMConfig

    return SmolVLMConfig(text_config=LlamaConfig(**text), vision_config=VISION | {"patch_size": 4}, scale_factor=2)


def _internvl(text: Settings) -> Any:
    from transformers import InternVLConfig, Qwen2Config

    vision = VISION | {"image_size": [16, 16], "patch_size": [4, 4]}
    return InternVLConfig(text_config=Qwen2Config(**text), vision_config=vision, image_seq_length=4)


_CLIP = {"size": {"shortest_edge": 16}, "crop_size": SQUARE}
_LLAVA = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
_QWEN_IMAGES = {"patch_size": 4, "merge_size": 2, "size": {"shortest_edge": 64, "longest_edge": 2048}}
_TILED = {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16}}
_TILES = tuple(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2))
_FRAMED = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *_TILES)
_QWEN_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
# head_dim is hidden_size / heads in these, and M-RoPE splits half of it in three.
_MROPE = {"hidden_size": 96, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}
_MIXED = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}

PICTURE_FAMILIES = {
    "Llava": PictureFamily(
        "LLaVA",
        _llava,
        {"image_token_index": "<image>"},
        "LlavaProcessor",
        ("CLIPImageProcessorPil", _CLIP),
        _LLAVA,
        special=("<image>",),
    ),
    "LlavaNext": PictureFamily(
        "LLaVA-NeXT",
        _llava_next,
        {"image_token_index": "<image>"},
        "LlavaNextProcessor",
        ("LlavaNextImageProcessorPil", _CLIP | {"image_grid_pinpoints": GRID}),
        _LLAVA,
        special=("<image>",),
        picture="<image>\n",
        text={"sliding_window": WINDOW},
    ),
    "Qwen2VL": PictureFamily(
        "Qwen2-VL",
        _qwen2,
        QWEN,
        "Qwen2VLProcessor",
        ("Qwen2VLImageProcessorPil", _QWEN_IMAGES),
        special=tuple(QWEN.values()),
        picture=_QWEN_PICTURE,
        text=_MROPE,
    ),
    "Qwen2_5_VL": PictureFamily(
        "Qwen2.5-VL",
        _qwen2_5,
        QWEN,
        "Qwen2_5_VLProcessor",
        ("Qwen2VLImageProcessorPil", _QWEN_IMAGES),
        special=tuple(QWEN.values()),
        picture=_QWEN_PICTURE,
        text=_MROPE | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "Gemma3": PictureFamily(
        "Gemma 3",
        _gemma3,
        {"image_token_index": "<image_soft_token>", "boi_token_index": "<soi>", "eoi_token_index": "<eoi>"},
        "Gemma3Processor",
        ("Gemma3ImageProcessorPil", {"size": SQUARE}),
        {"image_seq_length": 4},
        named={"boi_token": "<soi>", "eoi_token": "<eoi>", "image_token": "<image_soft_token>"},
        picture="<soi>",
        text=_MIXED | {"query_pre_attn_scalar": 24},
    ),
    "Idefics3": PictureFamily(
        "Idefics3",
        _idefics3,
        {"image_token_id": "<image>"},
        "Idefics3Processor",
        ("Idefics3ImageProcessorPil", _TILED),
        {"image_seq_len": 4},
        special=_FRAMED,
        picture="<image>",
    ),
    # Its own processor needs a package that spells numbers; that of Idefics3 expands pictures alike.
    "SmolVLM": PictureFamily(
        "SmolVLM",
        _smolvlm,
        {"image_token_id": "<image>"},
        "Idefics3Processor",
        ("Idefics3ImageProcessorPil", _TILED),
        {"image_seq_len": 4},
        special=_FRAMED,
        picture="<image>",
    ),
    "InternVL": PictureFamily(
        "InternVL",
        _internvl,
        {"image_token_id": "<IMG_CONTEXT>"},
        "InternVLProcessor",
        ("GotOcr2ImageProcessorPil", {"size": SQUARE, "crop_to_patches": True, "min_patches": 1, "max_patches": 4}),
        {"image_seq_length": 4},
        named={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        picture="<IMG_CONTEXT>\n",
    ),
}
"""By the architecture's name without `ForConditionalGeneration`."""


def make_picture_config(family: str, **changes: Any) -> tuple[Any, Any]:
    """The configuration of a tiny model of a family, and its tokenizer; `changes` are to its language model's."""
    made = PICTURE_FAMILIES[family]
    tokenizer = make_tokenizer(*made.special, **made.named)
    if made.picture is not None:
        tokenizer.chat_template = PARTS_TEMPLATE.replace("PICTURE", made.picture)
    known = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "tie_word_embeddings": False}
    config = made.config(CONFIG | NO_SPECIAL_TOKENS | known | made.text | changes)
    for name, token in made.tokens.items():
        setattr(config, name, tokenizer.convert_tokens_to_ids(token))
    config.tie_word_embeddings = False
    return config, tokenizer


def make_picture_model(folder: Path, family: str = "Llava", *, seed: int = 0, **changes: Any) -> Path:
    """Save a tiny model that reads pictures, with its processor; like `xmguard.testing.make_model`.

    Args:
        folder: where to save it.
        family: a key of `PICTURE_FAMILIES`.
        seed: of the weights.
        changes: to the configuration of its language model.

    Returns:
        The folder.
    """
    import torch
    import transformers

    made = PICTURE_FAMILIES[family]
    config, tokenizer = make_picture_config(family, **changes)
    torch.manual_seed(seed)
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config)
    sharpen(model)
    # A logit of 0 is never the largest: no answer ends early, none holds a placeholder.
    model.lm_head.weight.data[list(tokenizer.added_tokens_decoder)] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    kind, settings = made.images
    getattr(transformers, kind)(**settings).save_pretrained(folder)
    settings = {"processor_class": made.processor, **made.settings}
    (folder / "processor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
