"""Heads of more than one shape: another number or width in some layers, or values of another width than keys.

Measurements are arrays over layer and head, and one number of heads cuts every output projection; the cut of a layer
with another number would be wrong without any error. Keys and values of different widths are not covered by any proof.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from xmguard.backends.transformers.families.layout import attentions, decoder_layers


def reasons(config: Any, model: Any) -> list[str]:
    """More than one shape of head, or of its keys and values."""
    parts = [attention for layer in decoder_layers(model) for attention in attentions(layer).values()]
    shapes = {shape for attention in parts if (shape := _shape(attention))}
    found = []
    if len(shapes) > 1:
        listed = " and ".join(f"{heads} of width {width}" for heads, width in sorted(shapes))
        found.append(f"its layers have different heads: {listed}")
    if any(_width(attention, "k_proj") != _width(attention, "v_proj") for attention in parts):
        found.append("its values are not as wide as its keys")
    return found


def _shape(attention: nn.Module) -> tuple[int, int] | None:
    """Query heads and their width; None where the attention does not show them."""
    output, width = _width(attention, "o_proj", "in_features"), getattr(attention, "head_dim", None)
    return (output // width, width) if output and width else None


def _width(attention: nn.Module, projection: str, side: str = "out_features") -> int | None:
    width: int | None = getattr(getattr(attention, projection, None), side, None)
    return width
