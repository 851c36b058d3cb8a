"""Attention that reads what comes after it.

A context is prefilled once and read by many branches: that is exact because no earlier position depends on a later one.
The engine's attention is causal whatever a model asks for, so a bidirectional model would silently compute something
else. A picture whose tokens read each other is the exception: it lies in the context whole, and is prefilled under the
model's own mask.
"""

from __future__ import annotations

from typing import Any

from xmguard.backends.transformers.families.layout import attentions, decoder_layers, layer_names, types_its_tokens


def reasons(config: Any, model: Any) -> list[str]:
    """Layers whose attention says of itself that it is not causal."""
    layers = [
        index
        for index, layer in enumerate(decoder_layers(model))
        # The first one is the self-attention; a cross-attention after it is no sequence's own and has its own reason.
        if getattr(next(iter(attentions(layer).values()), None), "is_causal", True) is False
    ]
    found = [f"{layer_names(layers)}: the attention is bidirectional, not causal"] if layers else []
    if not layers and types_its_tokens(model) and getattr(config, "attn_logit_softcapping", None):
        found.append("its pictures are read both ways under a soft cap, which no attention here computes")
    return found
