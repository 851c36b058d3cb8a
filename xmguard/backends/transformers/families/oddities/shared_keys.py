"""Layers that read the keys and values of an earlier layer.

The cache then holds fewer layers than the model has, while a context here is one pair of keys and values per layer.
"""

from __future__ import annotations

from typing import Any


def reasons(config: Any, model: Any) -> list[str]:
    """Layers at the end that have no keys of their own."""
    shared = getattr(config, "num_kv_shared_layers", None)
    return [f"its last {shared} layers share the keys and values of earlier ones"] if shared else []
