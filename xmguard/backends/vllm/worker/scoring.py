"""Log-probabilities of given tokens, from the rows that predict them and from no others.

VLLM's own way runs the output layer for every row of such a prompt, request by request. Knows nothing of what is
scored.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xmguard.backends.vllm.worker.readings import Readings

AT_ONCE = 256
"""Rows that are run through the output layer together: for each, a number for every token of the vocabulary is held."""


def install_scoring(model: Any, readings: Readings) -> None:
    """Score in every step what is to be scored of it; done once for a model.

    Args:
        model: vLLM's. What it returns is the state of every row of the batch, as the output layer takes it.
        readings: this worker's.
    """

    def read(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        wanted = readings.scoring()
        for first in range(0, len(wanted), AT_ONCE):
            part = wanted[first : first + AT_ONCE]
            rows = torch.tensor([chunk.row_of(position) for chunk, position in part])
            logits = model.compute_logits(output[rows])
            if logits is None:  # another rank has them, and tells
                continue
            logprobs = torch.log_softmax(logits.float(), dim=-1)
            for row, (chunk, position) in zip(logprobs, part, strict=True):
                asked = chunk.reader.asked_of(position)
                readings.scored(chunk, position, row[list(asked)].tolist())

    model.register_forward_hook(read)
