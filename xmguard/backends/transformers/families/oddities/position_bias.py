"""Biases on the logits that depend on the distance: ALiBi, and learned relative position biases.

They are added inside a model's own attention or travel in its mask. The engine computes logits from queries and keys
and takes no mask, so they would be missing from every weight.
"""

from __future__ import annotations

from typing import Any


def reasons(config: Any, model: Any) -> list[str]:
    """Either kind, where it is switched on."""
    found = []
    sections = (config, getattr(config, "attn_config", None))
    if any(getattr(section, "alibi", False) for section in sections) or hasattr(model.base_model, "build_alibi_tensor"):
        found.append("it places tokens by ALiBi, a bias on the attention logits that reaches no attention function")
    if any(name.endswith("relative_attention_bias") for name, _ in model.named_modules()):
        found.append("it places tokens by a learned relative bias on the attention logits")
    return found
