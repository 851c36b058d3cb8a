"""Tiny models that read pictures as vLLM can run them, and what encodes prompts for them."""

from types import SimpleNamespace

from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from tests.integration.pictures import registry_with_sketches
from xmguard.backends.pictures import PictureReader, chat_template
from xmguard.backends.processors import load_processor
from xmguard.backends.prompting import PromptEncoder
from xmguard.testing.tiny_pictures import make_picture_model

WEIGHTS = "model.safetensors"
FAMILIES = {
    "Llava": {"head_dim": 32},
    "LlavaNext": {"head_dim": 32},
    # With seeds 0 and 2 it amplifies what float32 rounds.
    "Idefics3": {"head_dim": 32, "seed": 3},
    "InternVL": {"hidden_size": 192, "head_dim": 32},  # it takes the head's width from the first
}
"""Each with heads as wide as vLLM's attention on a CPU needs them."""


def make(folder, family):
    """Save a model with the names of weights that published checkpoints have, which vLLM knows."""
    make_picture_model(folder, family, **FAMILIES[family])
    if family.startswith("Llava"):
        weights = load_file(folder / WEIGHTS)
        named = {key.replace("vision_tower.", "vision_tower.vision_model."): value for key, value in weights.items()}
        save_file(named, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def encoding(folder):
    """What `PictureEager` asks of a backend: `encode`, its tokenizer and its encoder."""
    processor = load_processor(folder, {"local_files_only": True})
    placeholder = AutoConfig.from_pretrained(folder).image_token_id
    encoder = PromptEncoder(
        processor.tokenizer,
        registry_with_sketches(),
        "tiny",
        template=chat_template(processor),
        pictures=PictureReader(processor, placeholder, "tiny", keeps_parts=True),
    )
    loaded = SimpleNamespace(tokenizer=processor.tokenizer)
    return SimpleNamespace(encode=encoder.encode, encoder=encoder, loaded=loaded)
