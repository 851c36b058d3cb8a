"""Attention that chooses which keys to read: indexers, compressed and block-sparse kinds.

Which keys a row reads is computed from the content by a part of the layer that epsilon does not reach: a span that was
not chosen cannot be lifted, and compressed keys belong to several spans at once.
"""

from __future__ import annotations

from typing import Any

from xmguard.backends.transformers.families.layout import layer_names

_KINDS = {
    "indexed_attention",
    "compressed_sparse_attention",
    "heavily_compressed_attention",
    "minimax_m3_sparse",
    "window_attention",
    "reference_sliding_attention",
}
"""transformers' names of such layers in `layer_types`."""


def reasons(config: Any, model: Any) -> list[str]:
    """Layers of such a kind."""
    declared = getattr(config, "layer_types", None) or []
    layers = [index for index, kind in enumerate(declared) if kind in _KINDS]
    if not layers:
        return []
    kinds = ", ".join(sorted({declared[index] for index in layers}))
    return [f"{layer_names(layers)}: sparse attention ({kinds}) reads only the keys that it chooses itself"]
