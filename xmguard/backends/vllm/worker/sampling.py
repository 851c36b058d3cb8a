"""What a request with a reading asks of sampling: looked at when it enters the engine, done when its logits are there.

For the taps of both of vLLM's runners. Imports nothing of vLLM's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xmguard.backends.vllm.spec import KEY, ReadingSpec


def check(sampling_params: Any) -> None:
    """Refuse a request whose reading is none.

    Raises:
        ValueError: the reading is none, or asks for what sampling would undo.
    """
    text = (sampling_params.extra_args or {}).get(KEY)
    if text is None:
        return
    spec = ReadingSpec.from_json(text)
    if sampling_params.n != 1:
        raise ValueError("a request with a reading has one continuation")
    if len(spec.forced) > (sampling_params.max_tokens or 0):
        raise ValueError(f"{len(spec.forced)} forced tokens do not fit into {sampling_params.max_tokens}")


def choose(logits: Tensor, spec: ReadingSpec, index: int) -> None:
    """Leave only what a request may say next.

    Args:
        logits: of its generated token `index`, [vocabulary], changed in place.
        spec: the request's.
        index: from 0.
    """
    if index < len(spec.forced):
        logits.fill_(-torch.inf)
        logits[spec.forced[index]] = 0.0
    elif spec.suppressed:
        logits[list(spec.suppressed)] = -torch.inf
