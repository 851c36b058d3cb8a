"""Attention whose output is gated, normalised or subtracted before the output projection.

Steering would stay exact there, measuring would not: what a span adds is then no longer W_O times the weighted sum of
its values, and the norm of that product would be reported as something it is not.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from xmguard.backends.transformers.families.layout import attentions, decoder_layers, layer_names

_MARKS = ("gate", "g_proj", "sub_norm", "groupnorm", "lambda_")
"""In the names that transformers gives to such parts."""


def reasons(config: Any, model: Any) -> list[str]:
    """Layers with such a part."""
    found: dict[int, set[str]] = {}
    for index, layer in enumerate(decoder_layers(model)):
        for attention in attentions(layer).values():
            if parts := _between(attention):
                found.setdefault(index, set()).update(parts)
    if not found:
        return []
    named = ", ".join(sorted(set().union(*found.values())))
    return [f"{layer_names(found)}: what attention reads is changed ({named}) before the output projection"]


def _between(attention: nn.Module) -> set[str]:
    names = {name for name, _ in attention.named_children()}
    names |= {name for name, _ in attention.named_parameters(recurse=False)}
    parts = {name for name in names if any(mark in name for mark in _MARKS)}
    projections = [getattr(attention, f"{part}_proj", None) for part in "qkvo"]
    widths = [(part.in_features, part.out_features) for part in projections if isinstance(part, nn.Linear)]
    if len(widths) == len(projections):
        (_, query), (_, key), (_, value), (read, _) = widths
        # transformers keeps a gate as wide as the queries in the same matrix; narrow values look the same from o_proj.
        if key == value and query == 2 * read:
            parts.add("a gate in q_proj")
    return parts
