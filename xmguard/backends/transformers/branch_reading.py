"""How branches read a shared context and their own keys, steered.

Two ways to the same attention. Cut at span borders, every segment's output is at hand: contributions and share rules
need that. Where only constant epsilons are wanted, two calls of a flash kernel do on a CPU, with epsilon as a mask. On
a GPU one kernel does both (`gpu_reading`). Knows nothing of requests or sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from xmguard.attention.flash import flash, merge_two, usable
from xmguard.attention.segments import REST
from xmguard.attention.split_merge import Merged, Partial, SegmentStates, attend, collect, merge
from xmguard.backends.transformers import gpu_reading
from xmguard.backends.transformers.attention import AttentionCall
from xmguard.backends.transformers.context_keys import ContextKeys
from xmguard.backends.transformers.rows import Rows
from xmguard.backends.transformers.steering import Steering

MASK_ELEMENTS = 1 << 24
"""Numbers in the mask of one layer at most: 64 MiB in float32."""


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
        if call.mask is not None:
            raise RuntimeError("branches read causally; a mask of the model's own has no place here")
        if self.kept is not None:
            nothing = call.key[:, :, :0]
            self.calls[call.layer] = replace(call, query=call.query[self.kept], key=nothing, value=nothing)
        context, steering = self.rows.context, self.rows.steering
        if steering is None or steering.is_constant:  # nothing has to be told apart by segment
            if gpu_reading.usable(call.query):
                return gpu_reading.steered(self.rows, call)
            # The CPU kernel knows neither a soft cap nor a window.
            plain = call.soft_cap is None and not sees_less(self.rows, call)
            if context is not None and plain and usable(call.query) and self._mask_fits(call, context):
                return self._two_blocks(call, context, steering)
        return segmented(self.rows, call)[1].output

    def _mask_fits(self, call: AttentionCall, context: ContextKeys) -> bool:
        """Whether epsilon as a mask stays small; cut at span borders it needs none."""
        steering = self.rows.steering
        if steering is None or steering.compact(context) is not None:
            return True
        return call.query[..., 0].numel() * context.segmentation.length <= MASK_ELEMENTS

    def _two_blocks(self, call: AttentionCall, context: ContextKeys, steering: Steering | None) -> Tensor:
        key, value = context.keys[call.layer], context.values[call.layer]
        mask = gone = None
        if steering is not None:
            compact = steering.compact(context)
            if compact is not None:
                (key, value), mask = compact.layer(call.layer), compact.mask
            else:
                mask = steering.context_mask(call.layer, context, call.query.shape[2])
            gone = steering.unseen(call.layer, context)
        out, lse = flash(call.query, key, value, scaling=call.scaling, mask=mask)
        if gone is not None:
            gone = gone.unsqueeze(-1)
            out, lse = out.masked_fill(gone.unsqueeze(-1), 0.0), lse.masked_fill(gone, -torch.inf)
        own = flash(call.query, call.key, call.value, scaling=call.scaling, mask=self.rows.own_mask)
        return merge_two((out, lse), own, call.sinks)


def segmented(rows: Rows, call: AttentionCall) -> tuple[SegmentStates, Merged, Tensor | None]:
    """Attention cut at span borders: the segments before the bias, merged under it, and epsilon in nats."""
    return segmented_layers(rows, [call])


def segmented_layers(rows: Rows, calls: Sequence[AttentionCall]) -> tuple[SegmentStates, Merged, Tensor | None]:
    """The same for the same rows in several layers, which follow each other along the batch dimension.

    What comes after the products is small, and cheaper for all layers at once.
    """
    query = calls[0].query
    like = query.expand(len(calls), *query.shape).flatten(0, 1)
    if gpu_reading.usable(query):
        found = [gpu_reading.states(rows, call) for call in calls]
        states = SegmentStates(torch.cat([s.out for s in found], dim=1), torch.cat([s.lse for s in found], dim=1))
    else:
        pieces = zip(*(_partials(rows, call) for call in calls), strict=True)
        states = collect([_along_the_batch(piece) for piece in pieces], rows.segments, like=like)
    epsilon = None
    if rows.steering is not None:
        shape = (rows.segments, *query.shape[:3])
        lses = states.lse.view(rows.segments, len(calls), *query.shape[:3]).unbind(1)
        parts = [
            rows.steering.epsilon(call.layer, lse, call.sinks).expand(shape)
            for call, lse in zip(calls, lses, strict=True)
        ]
        epsilon = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
    sinks = None
    if calls[0].sinks is not None:
        sinks = torch.cat([call.sinks.expand(query.shape[0], -1) for call in calls if call.sinks is not None])
    return states, merge(states, epsilon, sinks), epsilon


def _along_the_batch(piece: Sequence[Partial]) -> Partial:
    if len(piece) == 1:
        return piece[0]
    return Partial(piece[0].segment, torch.cat([p.out for p in piece]), torch.cat([p.lse for p in piece]))


def _partials(rows: Rows, call: AttentionCall) -> list[Partial]:
    partials = []
    if rows.context is not None:
        # Every row comes after the whole context: only a window hides some of it.
        windowed = sees_less(rows, call)
        partials += attend(
            call.query,
            rows.context.keys[call.layer],
            rows.context.values[call.layer],
            segmentation=rows.context.segmentation,
            scaling=call.scaling,
            query_positions=rows.positions if windowed else None,
            key_positions=rows.context.positions if windowed else None,
            window=call.window if windowed else None,
            soft_cap=call.soft_cap,
        )
        if not windowed and call.soft_cap is None and usable(call.query) and rows.own.segments == 1:
            own = flash(*_in_float32(call), scaling=call.scaling, mask=rows.own_mask)
            return [*partials, Partial(REST, *own)]
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
    return partials


def _in_float32(call: AttentionCall) -> tuple[Tensor, Tensor, Tensor]:
    """bfloat16 outputs of the parts would round the very contributions that are measured."""
    return call.query.float(), call.key.float(), call.value.float()


def sees_less(rows: Rows, call: AttentionCall) -> bool:
    """Whether a window hides something of what the rows could see."""
    return call.window is not None and call.window <= rows.last_position
