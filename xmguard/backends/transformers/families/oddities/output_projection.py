"""Attention without an output projection that can be cut into heads.

A contribution is ||W_O^h a_k o_k||, with W_O^h the columns of `o_proj` [d_model, heads * head_dim] that head h is
multiplied with. Under another name, transposed or fused with something else, those columns are not known.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from xmguard.backends.transformers.families.layout import attentions, decoder_layers, layer_names, recurrent_layers


def reasons(config: Any, model: Any) -> list[str]:
    """Layers that attend and have none."""
    layers = decoder_layers(model)
    skipped = {index for index in recurrent_layers(config, model) if not attentions(layers[index])}
    without = {
        index: ", ".join(sorted({type(part).__name__ for part in attentions(layer).values()})) or type(layer).__name__
        for index, layer in enumerate(layers)
        if index not in skipped and not _has_projection(layer)
    }
    if not without:
        return []
    kinds = ", ".join(sorted(set(without.values())))
    return [f"{layer_names(without)} ({kinds}): no output projection o_proj of weight [d_model, heads * head_dim]"]


def _has_projection(layer: nn.Module) -> bool:
    found = attentions(layer).values()
    return bool(found) and all(isinstance(getattr(attention, "o_proj", None), nn.Linear) for attention in found)
