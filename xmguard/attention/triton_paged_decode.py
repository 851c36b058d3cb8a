"""One query row per request, its keys split into chunks and merged: decoding in `xmguard.attention.triton_paged`.

Flash-decoding's split (Dao et al., 2023), made inside the runs between two borders, so that no chunk ever mixes two
segments. Checks nothing.
"""

from __future__ import annotations

import triton
import triton.language as tl

from xmguard.attention.triton_paged_reads import (
    add_sums,
    chunk_length,
    clipped_runs,
    read_keys,
    segment_epsilon,
)


# What follows from the number of requests changes from step to step: compiled once, not for every multiple of 16.
@triton.jit(do_not_specialize=["pieces", "splits", "requests"])
def split_kernel(
    query,
    key,
    value,
    rows,
    query_start_loc,
    seq_lens,
    block_table,
    limits,
    borders,
    partial_out,
    partial_lse,
    scaling,
    window,
    soft_cap,
    spans,
    pieces,
    splits,
    least,
    requests,
    heads,
    groups,
    head_dim,
    query_stride,
    query_head_stride,
    key_page_stride,
    key_head_stride,
    key_stride,
    key_dim_stride,
    value_page_stride,
    value_head_stride,
    value_stride,
    value_dim_stride,
    block_table_stride,
    page_keys: tl.constexpr,
    block_runs: tl.constexpr,
    block_rows: tl.constexpr,
    block_keys: tl.constexpr,
    block_dim: tl.constexpr,
):
    """(o, l) of one chunk of a request's keys for its one query; grid (row x piece, kv_head).

    Chunk `piece` of the request is found from its spans. A program of a row that is not served, that has several
    queries, or that has fewer chunks, leaves at once; `join_kernel` knows which did.
    """
    piece = tl.program_id(0) % pieces
    row = tl.program_id(0) // pieces
    kv_head = tl.program_id(1).to(tl.int64)
    slot = tl.load(rows + 3 * row)
    if slot < 0:
        return
    token = tl.load(query_start_loc + row)
    position = tl.load(seq_lens + row) - 1
    if (tl.load(query_start_loc + row + 1) - token != 1) | (position < tl.load(limits + 4 * slot + 1)):
        return
    low = 0
    if window is not None:
        low = tl.maximum(position + 1 - window, 0)
    run = tl.arange(0, block_runs)
    run_start, run_keys = clipped_runs(borders, slot, spans, low, position + 1, run)
    chunk = chunk_length(low, position + 1, splits, least, block_keys)
    chunks = tl.cdiv(run_keys, chunk)
    ends = tl.cumsum(chunks, axis=0)
    mine = (ends - chunks <= piece) & (piece < ends)
    if tl.sum(mine.to(tl.int32), axis=0) == 0:
        return
    start = tl.sum(tl.where(mine, run_start + (piece - ends + chunks) * chunk, 0), axis=0)
    stop = tl.minimum(start + chunk, tl.sum(tl.where(mine, run_start + run_keys, 0), axis=0))

    member = tl.arange(0, block_rows)
    row_valid = member < groups
    head = kv_head * groups + member
    dim = tl.arange(0, block_dim)
    dim_valid = dim < head_dim
    q = tl.load(
        query + token.to(tl.int64) * query_stride + (head * query_head_stride)[:, None] + dim[None, :],
        mask=row_valid[:, None] & dim_valid[None, :],
        other=0.0,
    )
    peak, total, out = read_keys(
        q,
        tl.full([block_rows], float("-inf"), tl.float32),
        tl.zeros([block_rows], tl.float32),
        tl.zeros([block_rows, block_dim], tl.float32),
        tl.zeros([block_rows], tl.int32) + position,
        row_valid,
        key + kv_head * key_head_stride,
        value + kv_head * value_head_stride,
        block_table + row.to(tl.int64) * block_table_stride,
        start,
        stop,
        scaling,
        window,
        soft_cap,
        dim,
        dim_valid,
        key_page_stride,
        key_stride,
        key_dim_stride,
        value_page_stride,
        value_stride,
        value_dim_stride,
        page_keys,
        block_keys,
        True,
    )
    total = tl.where(total > 0.0, total, 1.0)  # at least 1 where anything was seen
    target = (piece.to(tl.int64) * requests + row) * heads + head
    tl.store(
        partial_out + (target * head_dim)[:, None] + dim[None, :],
        out / total[:, None],
        mask=row_valid[:, None] & dim_valid[None, :],
    )
    tl.store(partial_lse + target, peak + tl.log(total), mask=row_valid)


@triton.jit(do_not_specialize=["splits", "requests"])
def join_kernel(
    partial_out,
    partial_lse,
    output,
    sums,
    factors,
    sinks,
    rows,
    query_start_loc,
    seq_lens,
    limits,
    borders,
    first_reader,
    epsilon,
    rules,
    shares,
    rule_values,
    head_factors,
    window,
    spans,
    splits,
    least,
    requests,
    heads,
    head_dim,
    width,
    output_stride,
    output_head_stride,
    head_factor_stride,
    sums_slot_stride,
    sums_kind_stride,
    sums_head_stride,
    block_keys: tl.constexpr,
    block_runs: tl.constexpr,
    block_pieces: tl.constexpr,
    block_segments: tl.constexpr,
    block_dim: tl.constexpr,
    block_width: tl.constexpr,
):
    """One request's query in one head: chunks to segments, segments to output and sums; grid (row, head)."""
    row = tl.program_id(0)
    head = tl.program_id(1)
    slot = tl.load(rows + 3 * row)
    if slot < 0:
        return
    token = tl.load(query_start_loc + row)
    position = tl.load(seq_lens + row) - 1
    if (tl.load(query_start_loc + row + 1) - token != 1) | (position < tl.load(limits + 4 * slot + 1)):
        return
    low = 0
    if window is not None:
        low = tl.maximum(position + 1 - window, 0)
    run = tl.arange(0, block_runs)
    _, run_keys = clipped_runs(borders, slot, spans, low, position + 1, run)
    chunks = tl.cdiv(run_keys, chunk_length(low, position + 1, splits, least, block_keys))
    ends = tl.cumsum(chunks, axis=0)
    pieces = tl.sum(chunks, axis=0)

    piece = tl.arange(0, block_pieces)
    in_run = (ends - chunks)[None, :] <= piece[:, None]
    in_run = in_run & (piece[:, None] < ends[None, :])
    owner = tl.sum(tl.where(in_run & (run % 2 == 1)[None, :], (run[None, :] + 1) // 2, 0), axis=1)
    exists = piece < pieces
    place = (piece.to(tl.int64) * requests + row) * heads + head
    part_lse = tl.load(partial_lse + place, mask=exists, other=float("-inf"))
    segment = tl.arange(0, block_segments)
    logits = tl.where(owner[None, :] == segment[:, None], part_lse[None, :], float("-inf"))
    highest = tl.max(logits, axis=1)
    level = tl.where(highest == float("-inf"), 0.0, highest)
    parts = tl.exp(logits - level[:, None])
    mass = tl.sum(parts, axis=1)
    mass = tl.where(mass > 0.0, mass, 1.0)
    lse = highest + tl.log(mass)
    dim = tl.arange(0, block_dim)
    dim_valid = dim < head_dim
    part = tl.load(
        partial_out + (place * head_dim)[:, None] + dim[None, :],
        mask=exists[:, None] & dim_valid[None, :],
        other=0.0,
    )
    out = tl.dot(parts / mass[:, None], part, input_precision="ieee")  # o_k, [segment, dim]

    sink = tl.full([1], float("-inf"), tl.float32)
    if sinks is not None:
        sink = tl.load(sinks + head + tl.arange(0, 1)).to(tl.float32)
    factor = tl.load(head_factors + slot.to(tl.int64) * head_factor_stride + head + tl.arange(0, 1))
    at = tl.zeros([1], tl.int32) + position
    nats = segment_epsilon(
        lse[None, :], at, segment, slot, spans, sink, factor, first_reader, epsilon, rules, shares, rule_values
    )
    biased = lse[None, :] + nats  # [1, segment]
    top = tl.maximum(tl.max(biased, axis=1), sink)
    base = tl.where(top == float("-inf"), 0.0, top)
    exps = tl.exp(biased - base[:, None])
    denominator = tl.sum(exps, axis=1) + tl.exp(sink - base)
    denominator = tl.where(denominator > 0.0, denominator, 1.0)
    weights = exps / denominator[:, None]  # [1, segment]
    column = tl.sum(weights, axis=0)  # [segment]
    contribution = out * column[:, None]
    tl.store(
        output + token.to(tl.int64) * output_stride + head * output_head_stride + dim,
        tl.sum(contribution, axis=0).to(output.dtype.element_ty),
        mask=dim_valid,
    )
    counted = (position >= tl.load(limits + 4 * slot + 2)) & (position >= tl.load(rows + 3 * row + 1))
    if counted:
        squares = tl.zeros([block_segments], tl.float32)
        for first in range(0, width, block_width):
            component = first + tl.arange(0, block_width)
            factor_tile = tl.load(
                factors + ((head * width + component) * head_dim)[:, None] + dim[None, :],
                mask=(component < width)[:, None] & dim_valid[None, :],
                other=0.0,
            )
            projected = tl.dot(contribution, tl.trans(factor_tile), input_precision="ieee")
            squares += tl.sum(projected * projected, axis=1)
        one = tl.zeros([1], tl.int32)
        add_sums(
            sums,
            tl.sqrt(squares)[None, :],
            weights,
            nats,
            one == 0,
            (at >= tl.load(limits + 4 * slot + 3)).to(tl.int32),
            one + head,
            segment,
            spans,
            slot,
            sums_slot_stride,
            sums_kind_stride,
            sums_head_stride,
        )
