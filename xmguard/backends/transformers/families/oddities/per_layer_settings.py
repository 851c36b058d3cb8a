"""Configurations that give single layers settings of their own.

What the engine takes from a configuration (heads, windows, lengths) holds for all layers; transformers refuses to name
one value for a setting that varies, and lets a layer drop its attention altogether.
"""

from __future__ import annotations

from typing import Any


def reasons(config: Any, model: Any) -> list[str]:
    """The settings that vary."""
    if not getattr(config, "is_heterogeneous", False):
        return []
    varying = ", ".join(sorted(config.per_layer_attributes)) or "layers left out"
    return [f"single layers have settings of their own (per_layer_config: {varying})"]
