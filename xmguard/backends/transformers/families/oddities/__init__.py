"""One file per obstacle to exact steering. Each offers `reasons(config, model)` and says in its docstring why.

A new obstacle is a new file and its name in `PROBES`. Probes do not know each other: a model gets all their reasons.
"""

from __future__ import annotations

from typing import Any

from xmguard.backends.transformers.families.oddities import (
    attention_interface,
    bidirectional,
    chunked_attention,
    deep_features,
    encoder_decoder,
    gated_output,
    latent_attention,
    linear_attention,
    not_text,
    output_projection,
    per_layer_settings,
    position_bias,
    shared_keys,
    sparse_attention,
    uneven_heads,
)

PROBES = (
    not_text.reasons,
    deep_features.reasons,
    encoder_decoder.reasons,
    bidirectional.reasons,
    attention_interface.reasons,
    linear_attention.reasons,
    latent_attention.reasons,
    chunked_attention.reasons,
    sparse_attention.reasons,
    position_bias.reasons,
    output_projection.reasons,
    gated_output.reasons,
    uneven_heads.reasons,
    per_layer_settings.reasons,
    shared_keys.reasons,
)


def reasons(model: Any) -> list[str]:
    """Everything that stops the exact steering of a model without weights; empty if no probe objects."""
    config = model.config.get_text_config(decoder=True)
    return [reason for probe in PROBES for reason in probe(config, model)]
