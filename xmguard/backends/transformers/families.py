"""Which architectures are read exactly, and what makes a model folder unacceptable.

Looks only at file names and JSON: nothing of the model is imported or unpickled to find out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROVEN = {
    "CohereForCausalLM": "cohere",
    "Cohere2ForCausalLM": "cohere2",
    "Gemma2ForCausalLM": "gemma2",
    "Gemma3ForCausalLM": "gemma3_text",
    "GptOssForCausalLM": "gpt_oss",
    "GraniteForCausalLM": "granite",
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "MixtralForCausalLM": "mixtral",
    "Olmo2ForCausalLM": "olmo2",
    "Phi3ForCausalLM": "phi3",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "Qwen3MoeForCausalLM": "qwen3_moe",
    "SmolLM3ForCausalLM": "smollm3",
}
"""Architectures whose attention is proven against an eager reference by this project's tests, and the `model_type` that
makes transformers build just that class. Gemma 2, Gemma 3 and OLMo 2 normalise what attention writes once more before
it is added to the residual stream; contributions are the norms before that."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")


def refusals(folder: Path) -> list[str]:
    """Every reason why a model folder cannot be loaded safely and read exactly; empty if there is none."""
    config, problem = _json(folder / "config.json")
    if config is None:
        return [problem]
    reasons = []
    named = config.get("architectures") or ["(none named)"]
    architecture, model_type = ", ".join(map(str, named)), config.get("model_type")
    if PROVEN.get(architecture) != model_type or model_type is None:
        reasons.append(
            f"architecture {architecture} of model type {model_type} is not proven to be steered exactly; proven: "
            + ", ".join(f"{name} of model type {kind}" for name, kind in PROVEN.items())
        )
    if config.get("quantization_config"):
        reasons.append("its weights are quantised, and contributions need the plain output projection")
    tokenizer_config, _ = _json(folder / "tokenizer_config.json")
    if "auto_map" in config or "auto_map" in (tokenizer_config or {}):
        reasons.append("it asks to run its own code (auto_map), which is never done")
    code = sorted(path.name for path in folder.glob("*.py"))
    if code:
        reasons.append(f"it holds code ({', '.join(code)}); remove it")
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        reasons.append(f"it holds pickled files ({', '.join(pickles)}), which can run code; keep safetensors only")
    if not list(folder.glob("*.safetensors")):
        reasons.append("it holds no *.safetensors weights")
    if not (folder / "tokenizer.json").is_file():
        reasons.append("it holds no tokenizer.json")
    return reasons


def _json(path: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None, f"it holds no {path.name}"
    except (OSError, ValueError) as error:
        return None, f"its {path.name} cannot be read: {error}"
    if not isinstance(content, dict):
        return None, f"its {path.name} is not a JSON object"
    return content, ""
