"""How branches read a shared context and their own keys, steered.

Two ways to the same attention. Cut at span borders, every segment's output is at hand: contributions and share rules
need that. Where only constant epsilons are wanted, two calls of a flash kernel do, with epsilon as a mask. Knows
nothing of requests or sampling.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from xmguard.attention.flash import flash, merge_two, usable
from xmguard.attention.segments import Segmentation
from xmguard.attention.split_merge import Merged, SegmentStates, attend, collect, merge
from xmguard.backends.transformers.attention import AttentionCall
from xmguard.backends.transformers.steering import Steering


@dataclass(frozen=True)
class ContextKeys:
    """Keys and values of a prefilled context, one pair per layer, shared by every branch that reads it."""

    keys: tuple[Tensor, ...]
    """[1, kv_head, key, head_dim]"""
    values: tuple[Tensor, ...]
    segmentation: Segmentation

    @cached_property
    def segment_of_key(self) -> Tensor:
        """Segment of every key, [key]."""
        lengths = torch.tensor([piece.stop - piece.start for piece in self.segmentation.pieces])
        segments = torch.tensor([piece.segment for piece in self.segmentation.pieces])
        return segments.repeat_interleave(lengths).to(self.keys[0].device)

    @cached_property
    def present(self) -> Tensor:
        """The segments that have keys, ordered."""
        present = sorted({piece.segment for piece in self.segmentation.pieces})
        return torch.tensor(present, device=self.keys[0].device)


@dataclass(frozen=True)
class Rows:
    """Query rows of a batch and the keys they see: a shared context, if any, followed by keys of their own."""

    segments: int
    own: Segmentation
    """How their own keys are cut; a branch's suffix is all rest."""
    context: ContextKeys | None
    positions: Tensor
    """Of the rows in the sequence, [batch, query] or [1, query]."""
    own_start: Tensor
    """Position of the first own key in the sequence, [batch] or [1]; padding counts, so it may lie in the context."""
    key_mask: Tensor | None
    """bool [batch, own key], False for padding."""
    steering: Steering | None
    """None leaves attention as it is."""

    @cached_property
    def last_position(self) -> int:
        """Largest of `positions`."""
        return int(self.positions.max())

    @cached_property
    def own_mask(self) -> Tensor | None:
        """What the rows must not see of their own keys as -inf, [batch, 1, query, key]; None when they see all."""
        rows, keys = self.positions.shape[1], self.own.length
        hidden = None if self.key_mask is None else ~self.key_mask.unsqueeze(1)
        if rows > 1:
            columns = self.own_start.unsqueeze(-1) + torch.arange(keys, device=self.positions.device)
            later = columns.unsqueeze(1) > self.positions.unsqueeze(-1)
            hidden = later if hidden is None else hidden | later
        if hidden is None:
            return None
        return torch.zeros(hidden.shape, device=hidden.device).masked_fill(hidden, -torch.inf).unsqueeze(1)


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
        # Nothing has to be told apart by segment, and nothing is asked that the kernel does not know.
        if (
            context is not None
            and (steering is None or steering.is_constant)
            and call.soft_cap is None
            and (call.window is None or call.window > self.rows.last_position)
            and usable(call.query)
        ):
            return self._two_blocks(call, context, steering)
        return segmented(self.rows, call)[1].output

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
    partials = []
    if rows.context is not None:
        key = rows.context.keys[call.layer]
        # Every row comes after the whole context: only a window hides some of it.
        columns = None if call.window is None else torch.arange(key.shape[2], device=key.device)
        partials += attend(
            call.query,
            key,
            rows.context.values[call.layer],
            segmentation=rows.context.segmentation,
            scaling=call.scaling,
            query_positions=None if columns is None else rows.positions,
            key_positions=columns,
            window=call.window,
            soft_cap=call.soft_cap,
        )
    sees_all = call.query.shape[2] == 1 and call.window is None
    columns = torch.arange(call.key.shape[2], device=call.key.device)
    partials += attend(
        call.query,
        call.key,
        call.value,
        segmentation=rows.own,
        scaling=call.scaling,
        query_positions=None if sees_all else rows.positions,
        key_positions=None if sees_all else rows.own_start.unsqueeze(-1) + columns,
        key_mask=rows.key_mask,
        window=call.window,
        soft_cap=call.soft_cap,
    )
    states = collect(partials, rows.segments, like=call.query)
    epsilon = None if rows.steering is None else rows.steering.epsilon(call.layer, states.lse, call.sinks)
    return states, merge(states, epsilon, call.sinks), epsilon
