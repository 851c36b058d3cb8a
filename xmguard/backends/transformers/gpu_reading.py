"""The same reading on a GPU: context and own keys in one launch each, cut at span borders whatever is asked.

One kernel knows windows, soft caps, sinks, padding and constant epsilons, so there is one path. Knows nothing of
requests or sampling.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xmguard.attention.segments import Segmentation
from xmguard.attention.split_merge import SegmentStates
from xmguard.backends.transformers.attention import AttentionCall
from xmguard.backends.transformers.rows import Rows

if TYPE_CHECKING:
    from xmguard.attention.triton_segments import ChunkPlan

GROWTH = 512
"""Own keys are planned for in steps of this many, so that a plan serves many decoding steps."""


def usable(query: Tensor) -> bool:
    """Whether the kernels run where the query is. Elsewhere torch's own operations do the same, slower."""
    return query.is_cuda and _triton_is_installed()


def steered(rows: Rows, call: AttentionCall) -> Tensor:
    """Attention under constant epsilons, [batch, head, query, head_dim].

    Raises:
        ValueError: share rules, whose epsilons depend on the segments' log-sum-exps; see `states`.
    """
    epsilon = None if rows.steering is None else rows.steering.constant(call.layer)
    output, _ = _run(rows, call, epsilon=epsilon, states=False)
    return output


def states(rows: Rows, call: AttentionCall) -> SegmentStates:
    """(o, l) of every segment, before any bias."""
    _, found = _run(rows, call, epsilon=None, states=True)
    if found is None:
        raise RuntimeError("the kernel kept no states")
    return found


def _run(
    rows: Rows, call: AttentionCall, *, epsilon: Tensor | None, states: bool
) -> tuple[Tensor, SegmentStates | None]:
    from xmguard.attention.triton_segments import KeyBlock, segmented_attention

    context, windowed = rows.context, call.window is not None
    sees_all = call.query.shape[2] == 1 and not windowed
    blocks = [KeyBlock(call.key, call.value, None if sees_all else rows.own_positions, rows.key_mask)]
    if context is not None:
        # Every row comes after the whole context: only a window hides some of it.
        columns = context.positions if windowed else None
        blocks.insert(0, KeyBlock(context.keys[call.layer], context.values[call.layer], columns))
    cut = None if context is None else context.segmentation
    plan = _plan(cut, rows.own, rows.segments, call.query.device)
    found = segmented_attention(
        call.query,
        blocks,
        plan,
        scaling=call.scaling,
        epsilon=epsilon,
        query_positions=None if sees_all else rows.positions,
        window=call.window,
        soft_cap=call.soft_cap,
        sinks=call.sinks,
        states=states,
    )
    return found.output, found.states


@lru_cache(maxsize=64)
def _plan(context: Segmentation | None, own: Segmentation, segments: int, device: torch.device) -> ChunkPlan:
    from xmguard.attention.triton_segments import ChunkPlan

    growing = own.segments == 1
    if growing:  # one plan for many lengths
        own = Segmentation.from_spans([], -(-own.length // GROWTH) * GROWTH)
    cuts = [own] if context is None else [context, own]
    return ChunkPlan.of(cuts, segments=segments, device=device, growing=growing)


@cache
def _triton_is_installed() -> bool:
    return find_spec("triton") is not None
