"""Which models this engine is given: those whose reading by vLLM the tests compare with an eager reference.

Looks at a folder's file names and configuration only. What speaks against a model that is loaded, the workers say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xmguard.backends import folder as files
from xmguard.models.checkpoint import ActsOn, AdapterSource

PROVEN: dict[str, str] = {
    "Gemma2ForCausalLM": "gemma2",
    "Gemma3ForCausalLM": "gemma3_text",
    "LlamaForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
}
"""Architecture to the `model_type` it is proven for."""

PICTURES: dict[str, str] = {
    "Idefics3ForConditionalGeneration": "idefics3",
    "InternVLForConditionalGeneration": "internvl",
    "LlavaForConditionalGeneration": "llava",
    "LlavaNextForConditionalGeneration": "llava_next",
}
"""The same for architectures that read pictures beside text."""

_BOTH_WAYS = (
    "tokens of a picture read each other both ways, which vLLM's attention on a CPU does not: it would read "
    "pictures otherwise than the model was trained to"
)
_CROSSED = "pictures are read by cross-attention, where no token of the prompt stands for them and a bias has no place"
_OTHERWISE = (
    "on a tiny model vLLM's vision tower makes other features of a picture than the stock one, and why is not known yet"
)
UNREAD: Mapping[str, str] = {
    "Gemma3ForConditionalGeneration": _BOTH_WAYS,
    "PaliGemmaForConditionalGeneration": _BOTH_WAYS,
    "MllamaForConditionalGeneration": _CROSSED,
    "Qwen2VLForConditionalGeneration": _OTHERWISE,
    "Qwen2_5_VLForConditionalGeneration": "its vision tower is a kind of Qwen2-VL's, which vLLM reads otherwise",
    "SmolVLMForConditionalGeneration": "vLLM builds it with a processor that needs num2words, and no test has shown it",
}
"""Architectures that read pictures and are not given to this engine, and why."""


def refusals(path: Path, adapters: Sequence[AdapterSource] = ()) -> list[str]:
    """Every reason why a folder's model, with adapters on it, is not given to this engine; empty if there is none."""
    config, problem = files.read_json(path / "config.json")
    found = [problem] if problem else _unproven(config)
    found += files.reasons(path, config)
    if any(source.acts_on is ActsOn.ALL for source in adapters):
        found.append("an adapter acts on all of its rows; merge it into the weights first: xmguard mix export")
    return found


def _unproven(config: Mapping[str, Any]) -> list[str]:
    named, kind = config.get("architectures"), config.get("model_type")
    architecture = ", ".join(map(str, named)) if isinstance(named, list) and named else "(none named)"
    proven = PROVEN | PICTURES
    if kind is not None and proven.get(architecture) == kind:
        return []
    if architecture in UNREAD:
        return [f"{architecture}: {UNREAD[architecture]}; the transformers engine may take it"]
    return [
        f"architecture {architecture} of model type {kind} is not proven to be steered exactly by the vllm engine; "
        f"proven: {', '.join(proven)}"
    ]


def reads_pictures(config: Any) -> bool:
    """Whether a model of this configuration, which is not refused, reads pictures."""
    return config.architectures[0] in PICTURES
