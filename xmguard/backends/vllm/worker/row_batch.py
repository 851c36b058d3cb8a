"""One row of each of many requests read at once, as in decoding: the same mathematics, without a loop over requests.

Requests of like length are put together and padded. Knows nothing of how a request came to its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from xmguard.attention.head_norms import contribution_norms
from xmguard.attention.split_merge import SegmentStates, merge
from xmguard.backends.vllm.worker.layer_call import LayerCall
from xmguard.backends.vllm.worker.readings import Chunk

AT_ONCE = 1 << 24
"""Logits held at once, over all segments: 64 MiB."""
PADDED = 2
"""A request is padded to less than this many times its own length."""


class RowBatch:
    """Rows that are read together, and the tables that every layer of a window reads them by.

    Args:
        chunks: of one row each.
        block_table: [request, block] integers.
        size: tokens of a block.
        window: how far behind a row sees; None is everything.
        layers: of the model.
        heads: query heads of this worker.
    """

    def __init__(
        self, chunks: Sequence[Chunk], block_table: Tensor, size: int, window: int | None, layers: int, heads: int
    ) -> None:
        self.chunks = tuple(chunks)
        self.rows = torch.tensor([chunk.row for chunk in chunks])
        at = torch.tensor([chunk.start for chunk in chunks])
        oldest = torch.zeros_like(at) if window is None else (at - window + 1).clamp_min(0)
        first, last = oldest // size, at // size
        columns = first.unsqueeze(1) + torch.arange(int((last - first).max()) + 1)
        own = torch.tensor([chunk.index for chunk in chunks]).unsqueeze(1)
        # What is past a request's last block is hidden; that block stands in for it.
        self.blocks = block_table[own, torch.minimum(columns, last.unsqueeze(1))].long()
        keys = (columns.unsqueeze(-1) * size + torch.arange(size)).flatten(1)
        hidden = (keys > at.unsqueeze(1)) | (keys < oldest.unsqueeze(1))
        segments = 1 + max(len(chunk.reader.spec.span_map) for chunk in chunks)
        owner = torch.zeros_like(keys)
        constant = torch.zeros(segments, len(chunks))
        self.special: list[tuple[int, Chunk]] = []
        """Those whose epsilons differ by layer or row, and where they are among the rows."""
        for number, chunk in enumerate(chunks):
            for segment, span in enumerate(chunk.reader.spec.span_map, start=1):
                owner[number][(keys[number] >= span.start) & (keys[number] < span.stop)] = segment
            steering = chunk.reader.steering
            if steering is None:
                continue
            if (same := steering.constant(chunk.start)) is None:
                self.special.append((number, chunk))
            else:
                constant[: len(same), number] = same
        self.constant = constant.view(segments, -1, 1, 1)
        steered = [number for number, chunk in enumerate(chunks) if chunk.start >= chunk.reader.steered_from]
        self.written = torch.tensor(steered, dtype=torch.long)
        self.adapted = {
            number: chunk.reader.factors
            for number, chunk in enumerate(chunks)
            if chunk.reader.factors and chunk.counted
        }
        self.sums = None
        if any(chunk.counted for chunk in chunks):
            self.sums = torch.zeros(3, layers, segments, len(chunks), heads)
        of_key = constant.T.gather(1, owner).masked_fill(hidden, -torch.inf)
        self.bias = of_key.view(len(chunks), 1, 1, -1)
        """What constant epsilons add to the logits, -inf where a key is not seen, [row, 1, 1, key]."""
        self.member = (owner.unsqueeze(1) == torch.arange(segments).view(1, -1, 1)) & ~hidden.unsqueeze(1)
        self.member = self.member.unsqueeze(2)
        """Which keys are of a segment, and seen, [row, segment, 1, key]."""

    def settle(self) -> None:
        """Every layer has been read: what was measured goes to the requests it was measured of."""
        for number, chunk in enumerate(self.chunks):
            for totals, _, _ in chunk.counted:
                assert self.sums is not None
                totals.add_sums(self.sums[:, :, :, number])


def batches(
    chunks: Iterable[Chunk], block_table: Tensor, size: int, window: int | None, layers: int, heads: int
) -> Iterator[RowBatch]:
    """Chunks of one row that have to be read, put together by length."""
    together: list[Chunk] = []
    for chunk in sorted(chunks, key=lambda each: -each.stop):
        segments = 1 + max(len(each.reader.spec.span_map) for each in [*together, chunk])
        if together and (
            together[0].stop >= PADDED * chunk.stop
            or (len(together) + 1) * segments * heads * together[0].stop > AT_ONCE
        ):
            yield RowBatch(together, block_table, size, window, layers, heads)
            together = []
        together.append(chunk)
    if together:
        yield RowBatch(together, block_table, size, window, layers, heads)


def serve_rows(call: LayerCall, batch: RowBatch) -> None:
    """Read rows of many requests; write those that have a bias, keep what was measured of the others."""
    query = call.query[batch.rows].float() * call.scaling
    count, _, head_dim = query.shape
    key = call.layout.key.pages(call.key_cache[batch.blocks]).float()
    value = call.layout.value.pages(call.value_cache[batch.blocks]).float()
    logits = torch.matmul(query.view(count, key.shape[1], -1, head_dim), key.transpose(2, 3))
    if call.soft_cap is not None:
        logits = call.soft_cap * torch.tanh(logits / call.soft_cap)
    if batch.special or call.sinks is not None:
        _by_segment(call, batch, logits, value)
    else:
        _by_key(call, batch, logits, value)


def _by_key(call: LayerCall, batch: RowBatch, logits: Tensor, value: Tensor) -> None:
    """Epsilons are constant, so they are added to the logits; logits [row, kv_head, group, key]."""
    weights = torch.softmax(logits.add_(batch.bias), dim=-1)
    count, kv_heads, group, keys = weights.shape
    if batch.sums is None:
        _write(call, batch, torch.matmul(weights, value).view(count, kv_heads * group, -1))
        return
    # What a segment has too little of for float32 beside the others contributes nothing that float32 could say.
    parts = weights.unsqueeze(2) * batch.member.unsqueeze(1)  # [row, kv_head, segment, group, key]
    out = torch.matmul(parts.view(count, kv_heads, -1, keys), value).view(count, kv_heads, -1, group, value.shape[-1])
    out = out.permute(2, 0, 1, 3, 4).reshape(-1, count, kv_heads * group, 1, value.shape[-1])
    masses = parts.sum(-1).permute(2, 0, 1, 3).reshape(-1, count, kv_heads * group, 1)
    _write(call, batch, out.sum(0)[:, :, 0])
    norms = contribution_norms(out, torch.ones_like(masses), _factors(call, batch))
    _keep(call, batch.sums, norms, masses, batch.constant)


def _by_segment(call: LayerCall, batch: RowBatch, logits: Tensor, value: Tensor) -> None:
    """Some epsilons follow from the row's shares, so segments are read apart and merged."""
    count, kv_heads, _, keys = logits.shape
    head_dim = value.shape[-1]
    parted = logits.view(count, 1, -1, keys).masked_fill(~batch.member, -torch.inf)
    segments, heads = parted.shape[1:3]
    peak = parted.amax(dim=-1, keepdim=True)
    peak = torch.where(peak == -torch.inf, 0.0, peak)
    exps = parted.sub_(peak).exp_()
    total = exps.sum(-1, keepdim=True)
    lse = (total.log() + peak).permute(1, 0, 2, 3)
    by_key_head = exps.view(count, segments, kv_heads, -1, keys).transpose(1, 2).reshape(count, kv_heads, -1, keys)
    out = torch.matmul(by_key_head, value).view(count, kv_heads, segments, -1, head_dim)
    out = out.permute(2, 0, 1, 3, 4).reshape(segments, count, heads, 1, head_dim)
    states = SegmentStates(out / total.permute(1, 0, 2, 3).unsqueeze(-1).clamp_min(1.0), lse)
    epsilon = _epsilon(call, batch, lse)
    merged = merge(states, epsilon, call.sinks)
    _write(call, batch, merged.output[:, :, 0])
    if batch.sums is not None:
        norms = contribution_norms(states.out, merged.weights, _factors(call, batch))
        _keep(call, batch.sums, norms, merged.weights, epsilon)


def _keep(call: LayerCall, sums: Tensor, norms: Tensor, masses: Tensor, epsilon: Tensor) -> None:
    """Each broadcastable to [segment, row, head, 1]."""
    for kept, found in zip(sums, (norms, masses, epsilon), strict=True):
        kept[call.layer] = found.expand_as(norms)[..., 0]


def _write(call: LayerCall, batch: RowBatch, output: Tensor) -> None:
    if len(batch.written):
        call.output[batch.rows[batch.written]] = output[batch.written].to(call.output.dtype)


def _epsilon(call: LayerCall, batch: RowBatch, lse: Tensor) -> Tensor:
    """Nats, broadcastable to [segment, row, head, 1]."""
    if not batch.special:
        return batch.constant
    epsilon = batch.constant.expand_as(lse).clone()
    for number, chunk in batch.special:
        own = len(chunk.reader.spec.span_map) + 1
        assert chunk.reader.steering is not None
        position = torch.tensor([chunk.start])
        epsilon[:own, number : number + 1] = chunk.reader.steering.epsilon(
            call.layer, lse[:own, number : number + 1], position, call.sinks
        )
    return epsilon


def _factors(call: LayerCall, batch: RowBatch) -> Tensor:
    """R_h, or one for each row where an adapter changes some."""
    changed = {number: factors[call.layer] for number, factors in batch.adapted.items() if call.layer in factors}
    if not changed:
        return call.factors
    return torch.stack([changed.get(number, call.factors) for number in range(len(batch.chunks))])
