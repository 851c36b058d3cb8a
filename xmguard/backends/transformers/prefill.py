"""Forward passes of a model that must read through xmguard, and the contexts they prefill.

A context is prefilled once for all branches. A bias with scope ALL is read inside the context too, so such a context
is prefilled again under it. Knows nothing of branches.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor
from transformers import DynamicCache

from xmguard.attention.segments import Segmentation
from xmguard.backends.transformers import attention
from xmguard.backends.transformers.answer_adapter import Adapted
from xmguard.backends.transformers.attention import PlainReading, Reading
from xmguard.backends.transformers.branch_reading import BranchReading
from xmguard.backends.transformers.context_inputs import ContextInputs, context_inputs
from xmguard.backends.transformers.context_keys import ContextKeys
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.backends.transformers.probe import Probe
from xmguard.backends.transformers.rows import Rows
from xmguard.backends.transformers.steering import steer
from xmguard.bias import AttentionBias
from xmguard.context import EncodedPrompt
from xmguard.deadline import Stop
from xmguard.errors import EngineError, ErrorCode, InvalidRequest
from xmguard.request import Scope

PREFILL_CHUNK = 512
"""Context tokens per forward pass: how often a long prefill looks whether it should stop.

The context of a model whose pictures read themselves both ways (Gemma 3) is one pass, which is not interrupted.
"""


def forward(
    loaded: LoadedModel,
    read: Tensor,
    positions: Tensor,
    cache: DynamicCache,
    reading: Reading,
    *,
    keep: int | Tensor,
    types: Tensor | None = None,
    adapted: Adapted | None = None,
) -> Tensor:
    """Logits of the last `keep` positions, or of those it lists, [batch, kept, vocabulary].

    Args:
        loaded: the model.
        read: token ids [batch, query], or their embeddings [batch, query, hidden].
        positions: that rows are rotated by, [batch, query], or [3, batch, query] where a model has three kinds of them.
        cache: own keys and values of the rows before.
        reading: how keys are read.
        keep: see above.
        types: as `ContextInputs.types`.
        adapted: the entries of the batch that an answer adapter acts on.

    Raises:
        RuntimeError: a layer did not read through xmguard's attention, so the bias would silently be missing there.
        EngineError: the logits of a position are no numbers; the likeliest token would be any.
    """
    with nullcontext() if adapted is None else adapted.applied(read.device):
        output = loaded.model(
            **{"inputs_embeds" if read.is_floating_point() else "input_ids": read},
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
            **({} if types is None else {"token_type_ids": types}),
            **{attention.KEYWORD: reading},
        )
    missing = set(range(len(loaded.factors))) - reading.layers
    if missing:
        raise RuntimeError(f"layers {sorted(missing)} did not read through xmguard's attention")
    logits: Tensor = output.logits
    if not bool(logits.amax(dim=-1).isfinite().all()):  # NaN is the largest of what it stands among
        raise EngineError(
            f"the model computes no finite logits in {str(logits.dtype).removeprefix('torch.')}: its weights are "
            "damaged or too large; get its files again, or load it in float32",
            code=ErrorCode.INTERNAL,
        )
    return logits


def probe_rows(probe: Probe, ids: Tensor, rows: Rows) -> Tensor:
    """Logits [branch, class] of a probe after the last of its rows.

    Raises:
        RuntimeError: a layer did not read through xmguard's attention.
    """
    reading = BranchReading(rows)
    with probe.applied():
        output = probe.decoder(
            input_ids=ids,
            position_ids=rows.rotary,
            past_key_values=DynamicCache(),
            use_cache=True,
            **{attention.KEYWORD: reading},
        )
    missing = set(range(probe.layers)) - reading.layers
    if missing:
        raise RuntimeError(f"layers {sorted(missing)} did not read through xmguard's attention")
    return probe.logits(output.last_hidden_state[:, -1])


class ContextStore:
    """The prefilled contexts of one request, by the bias they were read with."""

    def __init__(
        self, loaded: LoadedModel, prompt: EncodedPrompt, stop: Stop, prefilled: ContextKeys | None = None
    ) -> None:
        """`prefilled` are the keys of the same tokens without a bias, however they are cut."""
        self.tokens_run = 0
        self._loaded = loaded
        self._prompt = prompt
        self._stop = stop
        self._device = loaded.model.device
        self._cut = Segmentation.from_spans(
            [(span.start, span.stop) for span in prompt.span_map], prompt.span_map.context_tokens
        )
        self._contexts: list[tuple[AttentionBias | None, ContextKeys]] = []
        if prefilled is not None:
            self._contexts.append((None, replace(prefilled, segmentation=self._cut)))

    def get(self, bias: AttentionBias) -> ContextKeys:
        """Keys and values of the context under a bias; only scope ALL makes a difference to them."""
        wanted = bias if bias.scope is Scope.ALL and not bias.is_zero else None
        for known, context in self._contexts:
            if known == wanted:
                return context
        self._contexts.append((wanted, self._prefill(wanted)))
        return self._contexts[-1][1]

    def clear(self) -> None:
        """Free them."""
        self._contexts.clear()

    @torch.inference_mode()
    def _prefill(self, bias: AttentionBias | None) -> ContextKeys:
        cache = DynamicCache()
        inputs, length = self._inputs, len(self._prompt.context_ids)
        if bias is not None and inputs.types is not None:
            raise InvalidRequest.field(
                "rebalance.scope",
                "ALL steers a context that is read causally, and this model's pictures read themselves both ways; "
                "use READERS or GENERATED",
            )
        size = PREFILL_CHUNK if inputs.types is None else length  # no border may cut a picture that reads itself
        for start in range(0, length, size):
            self._stop.check()
            own = slice(start, start + size)
            chunk = inputs.read[:, own]
            positions = torch.arange(start, start + chunk.shape[1], device=self._device)
            reading = PlainReading() if bias is None else self._steered(bias, positions)
            forward(self._loaded, chunk, inputs.rotary[..., own], cache, reading, keep=1, types=inputs.types)
        self.tokens_run += length
        keys = tuple(layer.keys for layer in cache.layers)
        return ContextKeys(keys, tuple(layer.values for layer in cache.layers), self._cut, inputs.rotary_offset)

    @cached_property
    def _inputs(self) -> ContextInputs:
        return context_inputs(self._loaded, self._prompt.context_ids, self._prompt.media, self._stop)

    def _steered(self, bias: AttentionBias, positions: Tensor) -> BranchReading:
        """Rows at `positions` of the context read each span with its epsilon once they are past it."""
        segments = self._cut.segments
        past = torch.zeros(segments, 1, 1, positions.shape[0], dtype=torch.bool, device=self._device)
        for segment, span in enumerate(self._prompt.span_map, start=1):
            past[segment, 0, 0] = positions >= span.stop
        rows = Rows(
            segments=segments,
            own=self._cut.truncated(int(positions[-1]) + 1),
            context=None,
            positions=positions.unsqueeze(0),
            own_start=torch.zeros(1, dtype=torch.long, device=self._device),
            key_mask=None,
            steering=steer(self._loaded, [bias], self._prompt.span_map, readable=past),
        )
        return BranchReading(rows)
