"""Multi-head latent attention: keys and values expanded from one compressed vector per token.

Its queries and keys are wider than its values, one part of each key is shared by all heads, and transformers is free to
cache the compressed vector instead of keys and values. Adding epsilon to its logits would be as exact as elsewhere; but
the pieces of this attention and its shared caches are written and proven for keys and values of one width only.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from xmguard.backends.transformers.families.layout import attentions, decoder_layers, layer_names


def reasons(config: Any, model: Any) -> list[str]:
    """Layers with compressed keys and values."""
    layers = [
        index
        for index, layer in enumerate(decoder_layers(model))
        if any(_is_latent(attention) for attention in attentions(layer).values())
    ]
    if not layers:
        return []
    widths = [getattr(config, name, None) for name in ("qk_head_dim", "v_head_dim")]
    stated = f" (keys of width {widths[0]}, values of {widths[1]})" if all(widths) else ""
    return [
        f"{layer_names(layers)}: multi-head latent attention, with keys and values compressed into one vector{stated}"
    ]


def _is_latent(attention: nn.Module) -> bool:
    return any(name.startswith("kv_a_proj") for name, _ in attention.named_children())
