"""vLLM's attention on a GPU without the rows that read under a bias, and xmguard's kernels for these.

Unverified on a GPU: the kernels are proven in Triton's interpreter and compile, what is here was never run on a device.
`gpu_evidence` says whether that has changed.

A request all of whose rows are xmguard's is given to vLLM's kernel with no keys, so its keys are read once. vLLM's
builders keep their metadata at fixed addresses; so does what is here, and whatever changes from step to step is written
before a graph is replayed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from vllm.v1.attention.backend import AttentionCGSupport, CommonAttentionMetadata
from vllm.v1.attention.backends.flash_attn import (
    FlashAttentionBackend,
    FlashAttentionImpl,
    FlashAttentionMetadataBuilder,
)
from vllm.v1.attention.backends.triton_attn import (
    TritonAttentionBackend,
    TritonAttentionImpl,
    TritonAttentionMetadataBuilder,
)

from xmguard.backends.vllm.worker.cuda_engine import CudaEngine, engine_of
from xmguard.backends.vllm.worker.slots import PLAIN

BATCH = "xmguard_batch"
"""Attribute of vLLM's metadata that holds the `triton_paged.PagedBatch` of a step."""


class SteeredRows:
    """Part of a metadata builder: which rows are xmguard's, and which lengths vLLM's own kernel is given.

    Comes before vLLM's builder among the bases.
    """

    SKIPPED_LENGTH = 0
    """Keys that vLLM's kernel is told of where it has nothing to read."""

    def __init__(self, kv_cache_spec: Any, layer_names: list[str], vllm_config: Any, device: Any) -> None:
        super().__init__(kv_cache_spec, layer_names, vllm_config, device)  # type: ignore[call-arg]
        self._engine = engine_of(vllm_config, device)
        if self._engine is not None:
            # Row by row: slot, first position to count, and 1 where vLLM's own kernel reads.
            self._rows = torch.zeros(self._engine.workspace.requests, 3, dtype=torch.int32, device=device)
            self._lengths = torch.zeros(self._engine.workspace.requests, dtype=torch.int32, device=device)

    @classmethod
    def get_cudagraph_support(cls, vllm_config: Any, kv_cache_spec: Any) -> AttentionCGSupport:
        """At most graphs of one token per request: launches for several depend on how many."""
        stock: AttentionCGSupport = super().get_cudagraph_support(vllm_config, kv_cache_spec)  # type: ignore[misc]
        most = AttentionCGSupport.UNIFORM_SINGLE_TOKEN_DECODE
        return stock if stock.value < most.value else most

    def build(
        self, common_prefix_len: int, common_attn_metadata: CommonAttentionMetadata, fast_build: bool = False
    ) -> Any:
        """VLLM's own for what is left to it, with the batch of what is not."""
        asked = common_attn_metadata
        build: Any = super().build  # type: ignore[misc]
        if self._engine is None:
            return build(common_prefix_len, asked, fast_build)
        from xmguard.attention.triton_paged import PagedBatch

        requests = asked.num_reqs
        rows, lengths = self._rows[:requests], self._lengths[:requests]
        rows.copy_(self._told(self._engine, asked), non_blocking=True)
        torch.mul(asked.seq_lens, rows[:, 2], out=lengths)
        if self.SKIPPED_LENGTH:
            lengths.clamp_(min=self.SKIPPED_LENGTH)
        metadata = build(common_prefix_len, asked.replace(seq_lens=lengths), fast_build)
        batch = PagedBatch(
            rows=rows,
            query_start_loc=asked.query_start_loc,
            seq_lens=asked.seq_lens,
            block_table=asked.block_table_tensor,
            tokens=asked.num_actual_tokens,
            longest=asked.max_query_len,
        )
        setattr(metadata, BATCH, batch)
        return metadata

    @staticmethod
    def _told(engine: CudaEngine, asked: Any) -> Tensor:
        """The rows as the host knows them, [request, 3]; those that pad a captured batch are nobody's."""
        found = [PLAIN] * asked.num_reqs
        if len(engine.slots):
            if asked.req_idx is None or asked.seq_lens_cpu_upper_bound is None:
                raise RuntimeError("xmguard: vLLM does not tell which slot a row is of, so no bias can be applied")
            starts, bounds = asked.query_start_loc_cpu.tolist(), asked.seq_lens_cpu_upper_bound.tolist()
            served = engine.slots.rows(asked.req_idx.tolist(), starts, bounds)
            found[: len(served)] = served
        table = torch.tensor([(row.slot, row.count_from, not row.whole) for row in found], dtype=torch.int32)
        return table.pin_memory() if engine.tables.pinned else table


class SteeredLayer:
    """Part of the attention of one layer. Comes before vLLM's among the bases."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from vllm.config import get_current_vllm_config

        super().__init__(*args, **kwargs)
        self._vllm_config = get_current_vllm_config()
        self._engine: CudaEngine | None = None  # it needs every layer, and this may be the first

    def fused_output_quant_supported(self, quant_key: Any) -> bool:
        """No: rows that are written after vLLM's own would not be quantised."""
        return False

    def forward(
        self,
        layer: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        kv_cache: Tensor,
        attn_metadata: Any,
        output: Tensor,
        output_scale: Tensor | None = None,
        output_block_scale: Tensor | None = None,
    ) -> Tensor:
        """[token, head, head_dim] of the whole batch, written to `output`."""
        stock: Any = super().forward  # type: ignore[misc]
        stock(layer, query, key, value, kv_cache, attn_metadata, output, output_scale, output_block_scale)
        batch = getattr(attn_metadata, BATCH, None)
        if batch is not None:
            self._serve(layer, query, kv_cache, batch, output)
        return output

    def _serve(self, layer: Any, query: Tensor, kv_cache: Tensor, batch: Any, output: Tensor) -> None:
        from xmguard.attention.triton_paged import check_fits, paged_attention

        keys, values = torch.split(kv_cache, query.shape[2], dim=-1)  # [page, kv_head, key, head_dim], any strides
        engine = self._engine
        if engine is None:
            engine = self._engine = engine_of(self._vllm_config, query.device)
            assert engine is not None  # else there is no batch
            check_fits(query, keys, values, output, engine.factors[engine.layers[layer.layer_name]], engine.tables)
        number = engine.layers[layer.layer_name]
        behind: int = self.sliding_window[0]  # type: ignore[attr-defined]
        paged_attention(
            query,
            keys,
            values,
            output,
            batch,
            engine.tables,
            engine.workspace,
            layer=number,
            scaling=self.scale,  # type: ignore[attr-defined]
            factors=engine.factors[number],
            window=behind + 1 if behind >= 0 else None,
            soft_cap=self.logits_soft_cap or None,  # type: ignore[attr-defined]
            sinks=self.sinks,  # type: ignore[attr-defined]
        )


class SteeredFlashBuilder(SteeredRows, FlashAttentionMetadataBuilder):
    """Flash attention writes zeros for a request without keys, and plans its splits by the lengths it is given."""


class SteeredTritonBuilder(SteeredRows, TritonAttentionMetadataBuilder):
    """vLLM's Triton kernel divides by a request's number of tiles: it is left one key."""

    SKIPPED_LENGTH = 1


class SteeredFlashImpl(SteeredLayer, FlashAttentionImpl):
    """Attention of one layer."""


class SteeredTritonImpl(SteeredLayer, TritonAttentionImpl):
    """Attention of one layer."""


class SteeredFlashBackend(FlashAttentionBackend):
    """Named as the one whose place it takes."""

    @staticmethod
    def get_impl_cls() -> type[FlashAttentionImpl]:
        """The attention of one layer."""
        return SteeredFlashImpl

    @staticmethod
    def get_builder_cls() -> type[FlashAttentionMetadataBuilder]:
        """What is made ready for a step."""
        return SteeredFlashBuilder


class SteeredTritonBackend(TritonAttentionBackend):
    """Named as the one whose place it takes."""

    @staticmethod
    def get_impl_cls() -> type[TritonAttentionImpl]:
        """The attention of one layer."""
        return SteeredTritonImpl

    @staticmethod
    def get_builder_cls() -> type[TritonAttentionMetadataBuilder]:
        """What is made ready for a step."""
        return SteeredTritonBuilder
