"""Hears from vLLM's V1 runner which request is which row of the batch; has each say what it is to.

A logits processor, because that is vLLM's public place where both are known; it leaves other requests' logits alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from xmguard.backends.vllm.spec import KEY, ReadingSpec
from xmguard.backends.vllm.worker.readings import Step, readings_of
from xmguard.backends.vllm.worker.sampling import check, choose


class Tap(LogitsProcessor):
    """One in each worker. An engine without a front of xmguard's has none of its requests looked at."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._readings = readings_of(vllm_config)

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse a request whose reading is none, where it enters the engine.

        Raises:
            ValueError: the reading is none, or asks for what sampling would undo.
        """
        check(sampling_params)

    def is_argmax_invariant(self) -> bool:
        """No: forced tokens are not what the model finds likeliest."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """A step begins."""
        if self._readings is None:
            return
        self._readings.settle()
        if batch_update is not None:
            self._readings.move(
                batch_update.removed,
                [
                    (index, _spec(params), len(prompt or ()), outputs)
                    for index, params, prompt, outputs in batch_update.added
                ],
                [(one, other, how is MoveDirectionality.SWAP) for one, other, how in batch_update.moved],
            )
        self._readings.begin()

    def apply(self, logits: Tensor) -> Tensor:
        """The forward pass is over: tell of the tokens that come next, then force or suppress those that are to be.

        Args:
            logits: float32 [request, vocabulary], changed in place.
        """
        if self._readings is None:
            return logits
        step = self._readings.settle()
        self._tell(step, logits)
        for chunk in step.chunks:
            if (index := chunk.predicts) is not None:
                choose(logits[chunk.index], chunk.reader.spec, index)
        return logits

    def _tell(self, step: Step, logits: Tensor) -> None:
        assert self._readings is not None
        told = [
            (chunk, index)
            for chunk in step.chunks
            if chunk.reader.spec.told and not chunk.reader.failed and (index := chunk.predicts) is not None
        ]
        if not told:
            return
        logprobs = torch.log_softmax(logits[[chunk.index for chunk, _ in told]].float(), dim=-1)
        # A token that cannot come has logprob -inf and adds nothing.
        entropies = torch.special.entr(logprobs.exp()).sum(-1).tolist()
        for (chunk, index), entropy in zip(told, entropies, strict=True):
            self._readings.channel.token(chunk.reader.spec.id, index, entropy)


def _spec(params: Any) -> ReadingSpec | None:
    """Of a request, if it has one; it was looked at when the request entered the engine."""
    text = (getattr(params, "extra_args", None) or {}).get(KEY)
    return None if text is None else ReadingSpec.from_json(text)
