"""Layers that mix tokens through a recurrent state: linear attention, state spaces, short convolutions, RWKV, hybrids.

Such a layer has no softmax over keys. What a span wrote into the state cannot be told from what the others wrote, so
there is no logit to add epsilon to, no weight to take away, and information passes beside the steered attention of the
layers between them.
"""

from __future__ import annotations

from typing import Any

from xmguard.backends.transformers.families.layout import layer_names, recurrent_layers


def reasons(config: Any, model: Any) -> list[str]:
    """The layers that keep such a state, and what keeps it."""
    found = recurrent_layers(config, model)
    if not found:
        return []
    kinds = ", ".join(sorted(set(found.values())))
    return [
        f"{layer_names(found)} mix tokens through a recurrent state ({kinds}), where no key has a weight of its own"
    ]
