"""Encoder-decoder models, and layers that attend to more than one sequence.

Their decoder reads the context through cross-attention, whose keys carry no position of the decoder's own sequence,
while the engine steers one causal self-attention per layer over context and answer together. A second attention in a
layer would go unmeasured and unsteered.
"""

from __future__ import annotations

from typing import Any

from xmguard.backends.transformers.families.layout import attentions, decoder_layers, layer_names


def reasons(config: Any, model: Any) -> list[str]:
    """An encoder, or several attentions in a layer."""
    found = []
    if model.config.is_encoder_decoder:
        found.append("it is an encoder-decoder: its answer reads the context through cross-attention")
    several = {index: names for index, layer in enumerate(decoder_layers(model)) if len(names := attentions(layer)) > 1}
    if several:
        held = sorted({name for names in several.values() for name in names})
        found.append(f"{layer_names(several)} hold more than one attention ({', '.join(held)})")
    return found
