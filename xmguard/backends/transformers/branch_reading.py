"""How branches read a shared context and their own keys, steered.

Two ways to the same attention. Cut at span borders, every segment's output is at hand: contributions and share rules
need that. Where only constant epsilons are wanted, two calls of a flash kernel do on a CPU, with epsilon as a mask. On
a GPU one kernel does both (`gpu_reading`). Knows nothing of requests or sampling.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from xmguard.attention.flash import flash, merge_two, usable
from xmguard.attention.split_merge import Merged, SegmentStates, attend, collect, merge
from xmguard.backends.transformers import gpu_reading
from xmguard.backends.transformers.attention import AttentionCall
from xmguard.backends.transformers.rows import ContextKeys, Rows
from xmguard.backends.transformers.steering import Steering


@dataclass
class BranchReading:
    """One forward pass of a batch of branches."""

    rows: Rows
    kept: Tensor | None = None
    """Batch entries whose queries are kept, to be measured later, [kept]."""
    layers: set[int] = field(default_factory=set)
    calls: dict[int, AttentionCall] = field(default_factory=dict)
    """Layer to what it asked for, with the kept queries only and without keys."""

    def read(self, call: AttentionCall) -> Tensor:
        """Read, steered; [batch, head, query, head_dim]."""
        if self.kept is not None:
            nothing = call.key[:, :, :0]
            self.calls[call.layer] = replace(call, query=call.query[self.kept], key=nothing, value=nothing)
        context, steering = self.rows.context, self.rows.steering
        if steering is None or steering.is_constant:  # nothing has to be told apart by segment
            if gpu_reading.usable(call.query):
                return gpu_reading.steered(self.rows, call)
            if context is not None and usable(call.query) and self._sees_what_flash_shows(call):
                return self._two_blocks(call, context, steering)
        return segmented(self.rows, call)[1].output

    def _sees_what_flash_shows(self, call: AttentionCall) -> bool:
        """Whether no soft cap and no window that hides something is asked for: the CPU kernel knows neither."""
        return call.soft_cap is None and (call.window is None or call.window > self.rows.last_position)

    def _two_blocks(self, call: AttentionCall, context: ContextKeys, steering: Steering | None) -> Tensor:
        heads, rows = call.query.shape[1:3]
        key, value = context.keys[call.layer], context.values[call.layer]
        mask = gone = None
        if steering is not None:
            mask = steering.context_mask(call.layer, context.segment_of_key, key.shape[1], heads, rows)
            gone = steering.unseen(call.layer, context.present)
        out, lse = flash(call.query, key, value, scaling=call.scaling, mask=mask)
        if gone is not None:
            lse = lse.masked_fill(gone.unsqueeze(-1), -torch.inf)
        own = flash(call.query, call.key, call.value, scaling=call.scaling, mask=self.rows.own_mask)
        return merge_two((out, lse), own, call.sinks)


def segmented(rows: Rows, call: AttentionCall) -> tuple[SegmentStates, Merged, Tensor | None]:
    """Attention cut at span borders: the segments before the bias, merged under it, and epsilon in nats."""
    states = gpu_reading.states(rows, call) if gpu_reading.usable(call.query) else _states(rows, call)
    epsilon = None if rows.steering is None else rows.steering.epsilon(call.layer, states.lse, call.sinks)
    return states, merge(states, epsilon, call.sinks), epsilon


def _states(rows: Rows, call: AttentionCall) -> SegmentStates:
    partials = []
    if rows.context is not None:
        # Every row comes after the whole context: only a window hides some of it.
        windowed = call.window is not None
        partials += attend(
            call.query,
            rows.context.keys[call.layer],
            rows.context.values[call.layer],
            segmentation=rows.context.segmentation,
            scaling=call.scaling,
            query_positions=rows.positions if windowed else None,
            key_positions=rows.context.positions if windowed else None,
            window=call.window,
            soft_cap=call.soft_cap,
        )
    sees_all = call.query.shape[2] == 1 and call.window is None
    partials += attend(
        call.query,
        call.key,
        call.value,
        segmentation=rows.own,
        scaling=call.scaling,
        query_positions=None if sees_all else rows.positions,
        key_positions=None if sees_all else rows.own_positions,
        key_mask=rows.key_mask,
        window=call.window,
        soft_cap=call.soft_cap,
    )
    return collect(partials, rows.segments, like=call.query)
