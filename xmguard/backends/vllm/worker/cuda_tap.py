"""Hears from vLLM's V2 runner which request is in which slot, and gives the tokens that a request is forced to.

Unverified on a GPU. A logits processor, because that is vLLM's public place where both are known.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from vllm.v1.worker.gpu.sample.logits_processor.interface import (
    LogitsContext,
    LogitsProcessor,
    LogitsProcRequestState,
)

from xmguard.backends.vllm.spec import KEY, ReadingSpec
from xmguard.backends.vllm.worker.cuda_engine import engine_of
from xmguard.backends.vllm.worker.sampling import check, choose


class CudaTap(LogitsProcessor):
    """One in each worker. An engine without a front of xmguard's has none of its requests looked at."""

    def __init__(self, vllm_config: Any, req_states: LogitsProcRequestState) -> None:
        engine = engine_of(vllm_config, req_states.device)
        self._slots = None if engine is None else engine.slots

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Refuse a request whose reading is none, where it enters the engine.

        Raises:
            ValueError: the reading is none, or asks for what sampling would undo.
        """
        check(sampling_params)

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        """A request enters a slot; returns whether `apply` is to see it."""
        if self._slots is None:
            return False
        text = (sampling_params.extra_args or {}).get(KEY)
        return self._slots.add(req_idx, None if text is None else ReadingSpec.from_json(text))

    def apply_staged_writes(self) -> None:
        """A step begins; requests that ended are out of their slots by now."""
        if self._slots is not None:
            self._slots.begin()

    def apply(self, logits: Tensor, ctx: LogitsContext) -> Tensor:
        """The forward pass is queued: tell of the tokens that come next, then force or suppress those that are to be.

        Args:
            logits: float32 [request, vocabulary], changed in place.
            ctx: which slot each row is of.
        """
        if self._slots is None:
            return logits
        self._slots.settle()
        told, chosen = [], []
        lengths = ctx.seq_lens_upper_bound_np.tolist()
        for row, slot in enumerate(ctx.idx_mapping_np.tolist()):
            index = self._slots.token(slot, lengths[row])
            reader = self._slots.reader(slot)
            if index is None or reader is None:
                continue
            if reader.spec.told:
                told.append((row, reader.spec.id, index))
            chosen.append((row, reader.spec, index))
        if told:
            logprobs = torch.log_softmax(logits[[row for row, _, _ in told]], dim=-1)
            # A token that cannot come has logprob -inf and adds nothing.
            entropies = torch.special.entr(logprobs.exp()).sum(-1)
            self._slots.entropies([(request, index) for _, request, index in told], entropies)
        for row, spec, index in chosen:
            choose(logits[row], spec, index)
        return logits
