"""What one attention layer of vLLM is given in one step, as those who read it again need it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from xmguard.backends.vllm.worker.layout import Layout


@dataclass(frozen=True)
class LayerCall:
    """One attention layer in one step."""

    layer: int
    query: Tensor
    """[token, head, head_dim] of the whole batch."""
    output: Tensor
    """As `query`; it holds what vLLM's own attention has read."""
    key_cache: Tensor
    """[block, kv_head, ...] in the order of `layout`."""
    value_cache: Tensor
    layout: Layout
    block_table: Tensor
    """[request, block] integers."""
    scaling: float
    window: int | None
    soft_cap: float | None
    sinks: Tensor | None
    factors: Tensor
    """R_h of the layer's output projection, [head, rank, head_dim]."""
