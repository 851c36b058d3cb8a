"""Layers that mix tokens through a recurrent state: linear attention, state spaces, short convolutions, RWKV, hybrids.

Such a layer has no softmax over keys. What a span wrote into the state cannot be told from what the others wrote, so
there is no logit to add epsilon to, no weight to take away, and information passes beside the steered attention of the
layers between them.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from xmguard.backends.transformers.families.layout import attentions, decoder_layers, layer_names

_KINDS = {"linear_attention", "conv", "hybrid", "hybrid_sliding"}
"""transformers' names of such layers in `layer_types`."""


def reasons(config: Any, model: Any) -> list[str]:
    """The layers that keep such a state, and what keeps it."""
    found = recurrent_layers(config, model)
    if not found:
        return []
    kinds = ", ".join(sorted(set(found.values())))
    return [
        f"{layer_names(found)} mix tokens through a recurrent state ({kinds}), where no key has a weight of its own"
    ]


def recurrent_layers(config: Any, model: Any) -> dict[int, str]:
    """Index to the name of the class that keeps the state."""
    declared = getattr(config, "layer_types", None) or []
    found = {}
    for index, layer in enumerate(decoder_layers(model)):
        kind = declared[index] if index < len(declared) else None
        convolving = [module for module in layer.modules() if any(isinstance(c, nn.Conv1d) for c in module.children())]
        if kind in _KINDS or convolving or (model._is_stateful and not attentions(layer)):
            found[index] = type(convolving[0] if convolving else layer).__name__
    return found
