"""Which models this engine is given: those whose reading by vLLM the tests compare with an eager reference.

Looks at a folder's file names and configuration only. What speaks against a model that is loaded, the workers say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xmguard.backends import folder as files
from xmguard.models.checkpoint import ActsOn, AdapterSource

PROVEN: Mapping[str, str] = {
    "Gemma2ForCausalLM": "gemma2",
    "Gemma3ForCausalLM": "gemma3_text",
    "LlamaForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
}
"""Architecture to the `model_type` it is proven for."""


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
    if kind is not None and PROVEN.get(architecture) == kind:
        return []
    return [
        f"architecture {architecture} of model type {kind} is not proven to be steered exactly by the vllm engine; "
        f"proven: {', '.join(PROVEN)}"
    ]
