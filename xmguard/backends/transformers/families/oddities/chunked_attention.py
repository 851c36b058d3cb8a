"""Attention within chunks: a position reads only what lies in its own chunk of the sequence.

The chunk borders are in a model's mask alone and reach no attention function. The engine takes its mask from positions
and a window, so it would read across the borders.
"""

from __future__ import annotations

from typing import Any

from xmguard.backends.transformers.families.layout import layer_names


def reasons(config: Any, model: Any) -> list[str]:
    """Layers of that kind."""
    declared = getattr(config, "layer_types", None) or []
    layers = [index for index, kind in enumerate(declared) if kind == "chunked_attention"]
    if not layers:
        return []
    size = getattr(config, "attention_chunk_size", None)
    return [f"{layer_names(layers)}: chunked attention, a position reads only its own chunk of {size} tokens"]
