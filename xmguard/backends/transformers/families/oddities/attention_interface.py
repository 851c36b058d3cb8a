"""Attention that a registered function cannot replace.

The bias enters where transformers hands queries, keys and values to an attention function chosen by name. A class or
layer that computes its attention by itself never gets there, and would ignore the bias without a word.
"""

from __future__ import annotations

from typing import Any

from xmguard.backends.transformers.families.layout import attentions, decoder_layers, layer_names, recurrent_layers


def reasons(config: Any, model: Any) -> list[str]:
    """No declared support, layers that do not call the interface, or no layers to find."""
    found = []
    if not (model._supports_attention_backend and model._can_set_attn_implementation()):
        found.append(f"{type(model).__name__} does not declare that its attention can be replaced through transformers")
    layers = decoder_layers(model)
    if not layers:
        found.append("its layers cannot be found")
    recurrent = recurrent_layers(config, model)
    deaf = [index for index, layer in enumerate(layers) if index not in recurrent and not attentions(layer)]
    if deaf:
        kinds = ", ".join(sorted({type(layers[index]).__name__ for index in deaf}))
        found.append(f"{layer_names(deaf)} ({kinds}): no attention that goes through transformers' attention interface")
    return found
