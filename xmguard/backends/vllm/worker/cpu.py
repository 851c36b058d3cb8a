"""vLLM's CPU attention, after which the rows that asked for it are read once more (`paths`).

Requests without a reading keep what vLLM's own kernel wrote, bit for bit. A step of which nothing would stay is not run
by it: the keys are then read once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from vllm.v1.attention.backend import AttentionType, CommonAttentionMetadata
from vllm.v1.attention.backends.cpu_attn import (
    CPUAttentionBackend,
    CPUAttentionBackendImpl,
    CPUAttentionMetadata,
    CPUAttentionMetadataBuilder,
)

from xmguard.backends.vllm.worker.layer_call import LayerCall
from xmguard.backends.vllm.worker.layout import Layout, cpu_layout
from xmguard.backends.vllm.worker.readings import Chunk, ModelFacts, Readings, Step, readings_of


class SteeredCPUBackend(CPUAttentionBackend):
    """Named as the one whose place it takes."""

    @staticmethod
    def get_impl_cls() -> type[CPUAttentionBackendImpl]:
        """The attention of one layer."""
        return SteeredImpl

    @staticmethod
    def get_builder_cls() -> type[CPUAttentionMetadataBuilder]:
        """What is made ready for a step."""
        return SteeredBuilder


@dataclass
class SteeredMetadata(CPUAttentionMetadata):
    """What a step needs, and what has to be read in it."""

    step: Step | None = None


class SteeredBuilder(CPUAttentionMetadataBuilder):
    """One for each group of layers that share block tables."""

    def __init__(self, kv_cache_spec: Any, layer_names: list[str], vllm_config: Any, device: Any) -> None:
        super().__init__(kv_cache_spec, layer_names, vllm_config, device)
        self._readings = readings_of(vllm_config)

    def build(
        self, common_prefix_len: int, common_attn_metadata: CommonAttentionMetadata, fast_build: bool = False
    ) -> CPUAttentionMetadata:
        """VLLM's own, with the step."""
        stock = super().build(common_prefix_len, common_attn_metadata, fast_build)
        if self._readings is None:
            return stock
        asked = common_attn_metadata
        step = self._readings.step(asked.query_start_loc_cpu.tolist(), asked.seq_lens.tolist())
        if not step.chunks:
            return stock
        return SteeredMetadata(**vars(stock), step=step)


class SteeredImpl(CPUAttentionBackendImpl):
    """Attention of one layer."""

    reads_again = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from vllm.config import get_current_vllm_config

        super().__init__(*args, **kwargs)
        self._readings = readings_of(get_current_vllm_config())

    def forward(
        self,
        layer: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        kv_cache: Tensor,
        attn_metadata: CPUAttentionMetadata | None,
        output: Tensor,
        output_scale: Tensor | None = None,
        output_block_scale: Tensor | None = None,
    ) -> Tensor:
        """[token, head, head_dim] of the whole batch, written to `output`."""
        step: Step | None = getattr(attn_metadata, "step", None)
        readings = self._readings
        facts = None if readings is None else readings.facts
        if readings is None or facts is None or step is None or self.attn_type != AttentionType.DECODER:
            # With a step it then misses a layer, and says so.
            super().forward(layer, query, key, value, kv_cache, attn_metadata, output, output_scale, output_block_scale)
            return output
        assert attn_metadata is not None
        if step.replaced < attn_metadata.num_actual_tokens:  # else nothing of it would stay
            super().forward(layer, query, key, value, kv_cache, attn_metadata, output, output_scale, output_block_scale)
        self._read_again(readings, facts, step, layer, query, kv_cache, attn_metadata, output)
        return output

    def _read_again(
        self,
        readings: Readings,
        facts: ModelFacts,
        step: Step,
        layer: Any,
        query: Tensor,
        kv_cache: Tensor,
        metadata: Any,
        output: Tensor,
    ) -> None:
        number = facts.layers[layer.layer_name]
        _, heads, block, width = kv_cache.shape
        # As vLLM's own kernel sees it: the keys of a block first, then its values.
        keys, values = kv_cache.view(len(kv_cache), heads, 2 * block, width // 2).chunk(2, dim=2)
        call = LayerCall(
            layer=number,
            query=query,
            output=output,
            key_cache=keys,
            value_cache=values,
            layout=_layout(layer, kv_cache),
            block_table=metadata.block_table,
            scaling=self.scale,
            window=self.sliding_window if self.sliding_window > 0 else None,
            soft_cap=self.logits_soft_cap or None,
            sinks=self.sinks,
            factors=facts.factors[number],
        )

        def fail(chunk: Chunk, error: Exception) -> None:
            output[chunk.row : chunk.row_of(chunk.stop)] = 0.0  # vLLM may not have written them
            readings.fail(chunk.reader, f"layer {number} could not be read: {error!r}")

        try:
            readings.path(call, step, fail)
        except Exception as error:  # not the engine's, nor that of other requests
            for chunk in step.chunks:
                fail(chunk, error)
        step.served.add(number)


def cache_kinds(layers: Iterable[Any]) -> list[tuple[Layout, torch.dtype]]:
    """Layout and numbers of the caches of attention layers; they have to be there."""
    return [(_layout(layer, layer.kv_cache), layer.kv_cache.dtype) for layer in layers]


def _layout(layer: Any, kv_cache: Tensor) -> Layout:
    _, heads, block, _ = kv_cache.shape
    return cpu_layout(layer.isa, kv_cache.dtype, block, heads, layer.impl.head_size)
