"""The two kernels of `xmguard.attention.triton_segments`: attention within chunks of keys, and the merge of the chunks.

Flash-decoding's split of the keys (Dao et al., 2023), with splits where the segments are. They are given pointers,
strides and sizes and check nothing. Sums are in float32; products of float32 inputs never go through TF32.
"""

from __future__ import annotations

import triton
import triton.language as tl


# What grows by one with every token is not specialised on, or the first multiple of 16 would compile anew.
@triton.jit(do_not_specialize=["keys", "position_stride", "mask_stride"])
def chunk_kernel(
    query,
    key,
    value,
    chunks,
    partial_out,
    partial_lse,
    query_positions,
    key_positions,
    key_mask,
    scaling,
    window,
    soft_cap,
    keys,
    rows,
    row_tiles,
    batch,
    heads,
    groups,
    queries,
    head_dim,
    query_batch_stride,
    query_head_stride,
    query_stride,
    query_dim_stride,
    key_batch_stride,
    key_head_stride,
    key_stride,
    key_dim_stride,
    value_batch_stride,
    value_head_stride,
    value_stride,
    value_dim_stride,
    query_position_batch_stride,
    query_position_stride,
    position_stride,
    mask_stride,
    block_rows: tl.constexpr,
    block_keys: tl.constexpr,
    block_dim: tl.constexpr,
):
    """(o, l) of one chunk of keys for one tile of rows; grid (chunk x row tile, kv_head, key batch).

    A row is a (batch, head, query) that reads this key head: the heads of its group, and the whole batch if the keys
    are shared. `chunks` holds (start, stop, slot); results go to `partial_*[slot]`. A row that sees none of the chunk
    gets (0, -inf).
    """
    tile = tl.program_id(0) % row_tiles
    chunk = tl.program_id(0) // row_tiles
    kv_head = tl.program_id(1).to(tl.int64)
    key_batch = tl.program_id(2).to(tl.int64)
    start = tl.load(chunks + 3 * chunk)
    stop = tl.minimum(tl.load(chunks + 3 * chunk + 1), keys)
    slot = tl.load(chunks + 3 * chunk + 2).to(tl.int64)

    row = tile * block_rows + tl.arange(0, block_rows)
    row_valid = row < rows
    column = row % queries
    head = kv_head * groups + (row // queries) % groups
    entry = key_batch + row // (queries * groups)
    dim = tl.arange(0, block_dim)
    dim_valid = dim < head_dim
    q = tl.load(
        query
        + (entry * query_batch_stride + head * query_head_stride + column * query_stride)[:, None]
        + (dim * query_dim_stride)[None, :],
        mask=row_valid[:, None] & dim_valid[None, :],
        other=0.0,
    )
    key_base = key + key_batch * key_batch_stride + kv_head * key_head_stride
    value_base = value + key_batch * value_batch_stride + kv_head * value_head_stride

    if key_positions is not None:
        at = tl.load(
            query_positions + entry * query_position_batch_stride + column * query_position_stride,
            mask=row_valid,
            other=0,
        ).to(tl.int32)
        # A chunk that lies after all rows, or behind all their windows, is not read at all.
        first_key = 2147483647
        last_key = -1
        for first in range(start, stop, block_keys):
            inside = first + tl.arange(0, block_keys) < stop
            where = key_positions + key_batch * position_stride + first + tl.arange(0, block_keys)
            position = tl.load(where, mask=inside, other=0).to(tl.int32)
            first_key = tl.minimum(first_key, tl.min(tl.where(inside, position, 2147483647), axis=0))
            last_key = tl.maximum(last_key, tl.max(tl.where(inside, position, -1), axis=0))
        some_visible = first_key <= tl.max(tl.where(row_valid, at, -1), axis=0)
        if window is not None:
            some_visible = some_visible & (last_key > tl.min(tl.where(row_valid, at, 2147483647), axis=0) - window)
        stop = tl.where(some_visible, stop, start)

    peak = tl.full([block_rows], float("-inf"), tl.float32)
    total = tl.zeros([block_rows], tl.float32)
    out = tl.zeros([block_rows, block_dim], tl.float32)
    for first in range(start, stop, block_keys):
        index = first + tl.arange(0, block_keys)
        inside = index < stop
        offset = index.to(tl.int64)
        k = tl.load(
            key_base + (offset * key_stride)[:, None] + (dim * key_dim_stride)[None, :],
            mask=inside[:, None] & dim_valid[None, :],
            other=0.0,
        )
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scaling
        if soft_cap is not None:
            logits = soft_cap * (1.0 - 2.0 / (1.0 + tl.exp(2.0 / soft_cap * logits)))  # tanh
        seen = row_valid[:, None] & inside[None, :]
        if key_positions is not None:
            position = tl.load(key_positions + key_batch * position_stride + index, mask=inside, other=0).to(tl.int32)
            seen = seen & (position[None, :] <= at[:, None])
            if window is not None:
                seen = seen & (position[None, :] > at[:, None] - window)
        if key_mask is not None:
            seen = seen & (tl.load(key_mask + key_batch * mask_stride + index, mask=inside, other=0) != 0)[None, :]
        logits = tl.where(seen, logits, float("-inf"))
        higher = tl.maximum(peak, tl.max(logits, axis=1))
        # -inf minus -inf is NaN: a row that has seen nothing yet is measured from 0.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp(logits - base[:, None])
        fading = tl.exp(peak - base)
        v = tl.load(
            value_base + (offset * value_stride)[:, None] + (dim * value_dim_stride)[None, :],
            mask=inside[:, None] & dim_valid[None, :],
            other=0.0,
        )
        total = total * fading + tl.sum(weights, axis=1)
        out = out * fading[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        peak = higher

    total = tl.where(total > 0.0, total, 1.0)  # at least 1 where anything was seen
    target = (slot * batch + entry) * heads * queries + head * queries + column
    tl.store(
        partial_out + (target * head_dim)[:, None] + dim[None, :],
        out / total[:, None],
        mask=row_valid[:, None] & dim_valid[None, :],
    )
    tl.store(partial_lse + target, peak + tl.log(total), mask=row_valid)


@triton.jit
def merge_kernel(
    partial_out,
    partial_lse,
    owners,
    offsets,
    epsilon,
    sinks,
    factors,
    output,
    weights_out,
    norms_out,
    segment_out,
    segment_lse,
    slots,
    segments,
    rows,
    heads,
    queries,
    head_dim,
    width,
    epsilon_segment_stride,
    epsilon_batch_stride,
    epsilon_head_stride,
    epsilon_query_stride,
    output_batch_stride,
    output_head_stride,
    output_query_stride,
    block_slots: tl.constexpr,
    block_segments: tl.constexpr,
    block_dim: tl.constexpr,
    block_width: tl.constexpr,
):
    """One row (batch, head, query) per program: chunks to segments, segments to output, masses and norms.

    Slots are ordered by segment: `owners` [slot] names it, `offsets` [segment + 1] bounds each segment's slots.
    """
    row = tl.program_id(0).to(tl.int64)
    column = row % queries
    head = (row // queries) % heads
    entry = row // (queries * heads)
    epsilon_offset = entry * epsilon_batch_stride + head * epsilon_head_stride + column * epsilon_query_stride
    dim = tl.arange(0, block_dim)
    dim_valid = dim < head_dim

    # The denominator over all chunks: a segment's bias is the bias of each of its chunks.
    peak = float("-inf")
    total = 0.0
    if sinks is not None:
        peak = tl.load(sinks + head).to(tl.float32)
        total = 1.0
    for first in range(0, slots, block_slots):
        slot = first + tl.arange(0, block_slots)
        inside = slot < slots
        lse = tl.load(partial_lse + slot.to(tl.int64) * rows + row, mask=inside, other=float("-inf"))
        if epsilon is not None:
            owner = tl.load(owners + slot, mask=inside, other=0)
            bias = tl.load(epsilon + owner * epsilon_segment_stride + epsilon_offset, mask=inside, other=0.0)
            lse = lse + bias.to(tl.float32)
        higher = tl.maximum(peak, tl.max(lse, axis=0))
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(peak - base) + tl.sum(tl.exp(lse - base), axis=0)
        peak = higher
    base = tl.where(peak == float("-inf"), 0.0, peak)
    total = tl.where(total > 0.0, total, 1.0)

    merged = tl.zeros([block_dim], tl.float32)
    for first_segment in range(0, segments, block_segments):
        segment = first_segment + tl.arange(0, block_segments)
        exists = segment < segments
        # (o_k, l_k) of this tile of segments, as an attention whose rows are segments and whose keys are chunks.
        highest = tl.full([block_segments], float("-inf"), tl.float32)
        mass = tl.zeros([block_segments], tl.float32)
        out = tl.zeros([block_segments, block_dim], tl.float32)
        begin = tl.load(offsets + first_segment)
        end = tl.load(offsets + tl.minimum(first_segment + block_segments, segments))
        for first in range(begin, end, block_slots):
            slot = first + tl.arange(0, block_slots)
            inside = slot < end
            place = slot.to(tl.int64) * rows + row
            lse = tl.load(partial_lse + place, mask=inside, other=float("-inf"))
            owner = tl.load(owners + slot, mask=inside, other=-1)
            part = tl.load(
                partial_out + (place * head_dim)[:, None] + dim[None, :],
                mask=inside[:, None] & dim_valid[None, :],
                other=0.0,
            )
            logits = tl.where(owner[None, :] == segment[:, None], lse[None, :], float("-inf"))
            higher = tl.maximum(highest, tl.max(logits, axis=1))
            level = tl.where(higher == float("-inf"), 0.0, higher)
            shares = tl.exp(logits - level[:, None])
            fading = tl.exp(highest - level)
            mass = mass * fading + tl.sum(shares, axis=1)
            out = out * fading[:, None] + tl.dot(shares, part, input_precision="ieee")
            highest = higher
        mass = tl.where(mass > 0.0, mass, 1.0)
        out = out / mass[:, None]
        lse_k = highest + tl.log(mass)
        result = segment.to(tl.int64) * rows + row
        if segment_out is not None:
            tl.store(
                segment_out + (result * head_dim)[:, None] + dim[None, :],
                out,
                mask=exists[:, None] & dim_valid[None, :],
            )
            tl.store(segment_lse + result, lse_k, mask=exists)
        biased = lse_k
        if epsilon is not None:
            bias = tl.load(epsilon + segment * epsilon_segment_stride + epsilon_offset, mask=exists, other=0.0)
            biased = lse_k + bias.to(tl.float32)
        weights = tl.exp(biased - base) / total
        tl.store(weights_out + result, weights, mask=exists)
        contribution = out * weights[:, None]
        merged += tl.sum(contribution, axis=0)
        if factors is not None:
            squares = tl.zeros([block_segments], tl.float32)
            for first in range(0, width, block_width):
                component = first + tl.arange(0, block_width)
                factor = tl.load(
                    factors + ((head * width + component) * head_dim)[:, None] + dim[None, :],
                    mask=(component < width)[:, None] & dim_valid[None, :],
                    other=0.0,
                )
                projected = tl.dot(contribution, tl.trans(factor), input_precision="ieee")
                squares += tl.sum(projected * projected, axis=1)
            tl.store(norms_out + result, tl.sqrt(squares), mask=exists)

    place = entry * output_batch_stride + head * output_head_stride + column * output_query_stride
    tl.store(output + place + dim, merged.to(output.dtype.element_ty), mask=dim_valid)
