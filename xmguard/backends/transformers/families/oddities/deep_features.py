"""Features of pictures that enter more than one layer.

A context with pictures is read from embeddings in which features have taken the place of tokens. What a model adds to
its hidden states further up besides would be missing.
"""

from __future__ import annotations

from typing import Any


def reasons(config: Any, model: Any) -> list[str]:
    """A vision tower that feeds several layers."""
    found = getattr(getattr(model.config, "vision_config", None), "deepstack_visual_indexes", None)
    return ["features of its pictures enter several layers (deepstack), not only the first"] if found else []
