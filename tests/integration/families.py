"""The families that are let in, as tiny configurations that have everything particular about them, and README's table.

The one source of both: `test_families` proves what is listed here, and `python -m tests.integration.families` writes
the table; a test of the architecture compares it with README.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.integration.parity import BIASES, RULES, STEPS
from xmguard.backends.transformers.families import PICTURES, PROVEN
from xmguard.backends.transformers.families.particulars import particulars
from xmguard.testing.tiny import tiny_config
from xmguard.testing.tiny_pictures import PICTURE_FAMILIES, make_picture_config

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"(?<=<!-- families -->\n).*?(?=<!-- /families -->)", flags=re.DOTALL)


@dataclass(frozen=True)
class Family:
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    seed: int = 0


WINDOW = 190
MIXED = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
EXPERTS = {"num_experts_per_tok": 2}
# Routing to experts is discontinuous: a tie (with seed 0 a margin of 1e-6 between two router logits) turns a rounding
# difference into another expert. With this seed the margins are above 1e-4.
APART = 1
# With seed 0 these amplify what float32 rounds to the tolerance itself, with this one to half of it.
STEADY = 2
LONG = {
    "max_position_embeddings": 4096,
    "original_max_position_embeddings": 1024,
    "head_dim": 8,  # transformers wants half as many factors
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [4.0] * 4,
    },
}
FAMILIES = {
    "Llama": Family("Llama"),
    "Mistral": Family("Mistral", {"sliding_window": WINDOW}, STEADY),
    "Mixtral": Family("Mixtral", EXPERTS | {"num_local_experts": 4, "sliding_window": WINDOW}, APART),
    "Qwen2": Family("Qwen2", {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}),
    "Qwen3": Family("Qwen3", seed=STEADY),
    "Qwen3Moe": Family("Qwen3 MoE", EXPERTS | {"num_experts": 4, "moe_intermediate_size": 32}, APART),
    "Gemma2": Family(
        "Gemma 2",
        MIXED | {"attn_logit_softcapping": 8.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 24},
    ),
    "Gemma3": Family("Gemma 3, text", MIXED | {"query_pre_attn_scalar": 24}),
    "Phi3": Family("Phi 3", LONG),
    "Cohere": Family("Command R", {"logit_scale": 1.0}),
    "Cohere2": Family("Command R7B", MIXED | {"logit_scale": 1.0}),
    "Olmo2": Family("OLMo 2"),
    "Olmo3": Family("OLMo 3", MIXED),
    "GptOss": Family("GPT-OSS", MIXED | EXPERTS | {"num_local_experts": 4}, APART),
    # Published Granite models have a dropout rate in their configuration.
    "Granite": Family(
        "Granite",
        {"attention_multiplier": 0.3, "logits_scaling": 1.0, "residual_multiplier": 0.5, "attention_dropout": 0.1},
    ),
    "SmolLM3": Family("SmolLM3", {"no_rope_layers": [1, 0, 1], "use_sliding_window": False}),
}
KINDS = {
    name: (BIASES | RULES)[name]
    for name in (
        "lift the second",
        "lift the first, every later row",
        "generated rows only",
        "target after a removal",
        "constant by head",
    )
}
PICTURE_STEPS = 12
PROOF = f"prefill, {STEPS} decoded tokens, contributions, constant epsilons, share rules, head factors"


def table() -> str:
    """The Markdown between README's markers."""
    lines = ["| family | architecture | particular about it, and tested | proven |", "|---|---|---|---|"]
    for key, family in FAMILIES.items():
        with torch.device("meta"):
            model = getattr(transformers, f"{key}ForCausalLM")(tiny_config(key, vocab_size=300, **family.config))
        lines.append(_row(family.name, model, PROOF))
    for key, pictured in PICTURE_FAMILIES.items():
        config, _ = make_picture_config(key)
        with torch.device("meta"):
            model = getattr(transformers, f"{key}ForConditionalGeneration")(config)
        lines.append(_row(pictured.name, model, f"the same with one and two pictures, {PICTURE_STEPS} tokens"))
    assert len(lines) == len(PROVEN) + len(PICTURES) + 2
    return "\n".join(lines) + "\n"


def _row(name: str, model: Any, proof: str) -> str:
    names = ", ".join(particular.name for particular in particulars(model))
    return f"| {name} | `{type(model).__name__}` | {names or '-'} | {proof} |"


if __name__ == "__main__":
    README.write_text(BLOCK.sub(lambda _: table(), README.read_text(encoding="utf-8")), encoding="utf-8")
