"""Several query rows of a request at once, segment after segment: tails of prompts in `xmguard.attention.triton_paged`.

Nothing of a segment is kept but its log-sum-exp and its norm, however many rows there are. Checks nothing.
"""

from __future__ import annotations

import triton
import triton.language as tl

from xmguard.attention.triton_paged_reads import (
    LAST,
    add_sums,
    read_keys,
    segment_epsilon,
)


# The number of requests changes from step to step: compiled once, not for every multiple of 16.
@triton.jit(do_not_specialize=["requests"])
def tile_kernel(
    query,
    key,
    value,
    output,
    sums,
    factors,
    sinks,
    rows,
    query_start_loc,
    seq_lens,
    block_table,
    limits,
    borders,
    first_reader,
    epsilon,
    rules,
    shares,
    rule_values,
    head_factors,
    scaling,
    window,
    soft_cap,
    requests,
    spans,
    heads,
    groups,
    head_dim,
    width,
    query_stride,
    query_head_stride,
    output_stride,
    output_head_stride,
    key_page_stride,
    key_head_stride,
    key_stride,
    key_dim_stride,
    value_page_stride,
    value_head_stride,
    value_stride,
    value_dim_stride,
    block_table_stride,
    head_factor_stride,
    sums_slot_stride,
    sums_kind_stride,
    sums_head_stride,
    page_keys: tl.constexpr,
    block_requests: tl.constexpr,
    block_queries: tl.constexpr,
    block_rows: tl.constexpr,
    block_keys: tl.constexpr,
    block_segments: tl.constexpr,
    block_dim: tl.constexpr,
    block_width: tl.constexpr,
):
    """A tile of one request's queries, segment by segment; grid (tokens // block_queries + requests, kv_head).

    Request i owns the tiles from its first token // block_queries + i on, so that none reaches into the next. Requests
    with one query are `split_kernel`'s. Under a share rule the keys are read twice: epsilons need every log-sum-exp.
    """
    tile = tl.program_id(0)
    kv_head = tl.program_id(1).to(tl.int64)
    request = tl.arange(0, block_requests)
    starts = tl.load(query_start_loc + request, mask=request < requests, other=LAST)
    begins = tl.where(request < requests, starts // block_queries + request, LAST)
    row = tl.sum((begins <= tile).to(tl.int32), axis=0) - 1
    slot = tl.load(rows + 3 * row)
    if slot < 0:
        return
    token = tl.load(query_start_loc + row)
    queries = tl.load(query_start_loc + row + 1) - token
    first_query = (tile - token // block_queries - row) * block_queries
    if (queries == 1) | (first_query >= queries):
        return
    earliest = tl.load(seq_lens + row) - queries + first_query
    latest = earliest + tl.minimum(block_queries, queries - first_query) - 1
    served_from = tl.load(limits + 4 * slot + 1)
    if latest < served_from:
        return

    member = tl.arange(0, block_rows)
    column = member // groups
    at = earliest + column
    row_valid = (column < block_queries) & (at <= latest) & (at >= served_from)
    head = kv_head * groups + member % groups
    query_token = (token + first_query + column).to(tl.int64)
    dim = tl.arange(0, block_dim)
    dim_valid = dim < head_dim
    q = tl.load(
        query + (query_token * query_stride + head * query_head_stride)[:, None] + dim[None, :],
        mask=row_valid[:, None] & dim_valid[None, :],
        other=0.0,
    )
    low = 0
    if window is not None:
        low = tl.maximum(tl.maximum(earliest, served_from) + 1 - window, 0)
    high = latest + 1
    border = borders + slot.to(tl.int64) * (2 * spans)
    pages = block_table + row.to(tl.int64) * block_table_stride
    key_base = key + kv_head * key_head_stride
    value_base = value + kv_head * value_head_stride
    used = tl.load(limits + 4 * slot)
    segment = tl.arange(0, block_segments)
    sink = tl.full([block_rows], float("-inf"), tl.float32)
    if sinks is not None:
        sink = tl.load(sinks + head, mask=row_valid, other=float("-inf")).to(tl.float32)
    factor = tl.load(head_factors + slot.to(tl.int64) * head_factor_stride + head, mask=row_valid, other=0.0)
    nothing = tl.full([block_rows], float("-inf"), tl.float32)
    zeros = tl.zeros([block_rows], tl.float32)
    blank = tl.zeros([block_rows, block_dim], tl.float32)

    lse = tl.full([block_rows, block_segments], float("-inf"), tl.float32)
    if tl.load(rules + slot) != 0:
        for k in range(0, used + 1):
            peak, total, _ = nothing, zeros, blank
            for run in range(tl.maximum(2 * k - 1, 0), tl.where(k == 0, 2 * used + 1, 2 * k), 2):
                start = tl.maximum(tl.load(border + run - 1, mask=run > 0, other=0), low)
                stop = tl.minimum(tl.load(border + run, mask=run < 2 * used, other=LAST), high)
                peak, total, _ = read_keys(
                    q,
                    peak,
                    total,
                    blank,
                    at,
                    row_valid,
                    key_base,
                    value_base,
                    pages,
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
                    False,
                )
            lse_k = peak + tl.log(tl.where(total > 0.0, total, 1.0))
            lse = tl.where(segment[None, :] == k, lse_k[:, None], lse)
    nats = segment_epsilon(
        lse, at, segment, slot, spans, sink, factor, first_reader, epsilon, rules, shares, rule_values
    )

    counted = row_valid & (at >= tl.load(limits + 4 * slot + 2)) & (at >= tl.load(rows + 3 * row + 1))
    measured = tl.max(counted.to(tl.int32), axis=0) > 0
    norms = tl.zeros([block_rows, block_segments], tl.float32)
    merged = blank
    top = sink
    denominator = tl.where(sink > float("-inf"), 1.0, 0.0)
    for k in range(0, used + 1):
        peak, total, out = nothing, zeros, blank
        for run in range(tl.maximum(2 * k - 1, 0), tl.where(k == 0, 2 * used + 1, 2 * k), 2):
            start = tl.maximum(tl.load(border + run - 1, mask=run > 0, other=0), low)
            stop = tl.minimum(tl.load(border + run, mask=run < 2 * used, other=LAST), high)
            peak, total, out = read_keys(
                q,
                peak,
                total,
                out,
                at,
                row_valid,
                key_base,
                value_base,
                pages,
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
        total = tl.where(total > 0.0, total, 1.0)
        out = out / total[:, None]
        lse_k = peak + tl.log(total)
        lse = tl.where(segment[None, :] == k, lse_k[:, None], lse)
        biased = lse_k + tl.sum(tl.where(segment[None, :] == k, nats, 0.0), axis=1)
        higher = tl.maximum(top, biased)
        base = tl.where(higher == float("-inf"), 0.0, higher)
        fading = tl.exp(top - base)
        weight = tl.exp(biased - base)
        denominator = denominator * fading + weight
        merged = merged * fading[:, None] + weight[:, None] * out
        top = higher
        if measured:
            # Rows of one tile are of several heads, each with a projection of its own.
            squares = zeros
            for group in range(0, groups):
                of_head = member % groups == group
                for first in range(0, width, block_width):
                    component = first + tl.arange(0, block_width)
                    factor_tile = tl.load(
                        factors + (((kv_head * groups + group) * width + component) * head_dim)[:, None] + dim[None, :],
                        mask=(component < width)[:, None] & dim_valid[None, :],
                        other=0.0,
                    )
                    projected = tl.dot(out, tl.trans(factor_tile), input_precision="ieee")
                    squares += tl.where(of_head, tl.sum(projected * projected, axis=1), 0.0)
            norms = tl.where(segment[None, :] == k, tl.sqrt(squares)[:, None], norms)

    base = tl.where(top == float("-inf"), 0.0, top)
    denominator = tl.where(denominator > 0.0, denominator, 1.0)
    merged = merged / denominator[:, None]
    tl.store(
        output + (query_token * output_stride + head * output_head_stride)[:, None] + dim[None, :],
        merged.to(output.dtype.element_ty),
        mask=row_valid[:, None] & dim_valid[None, :],
    )
    if measured:
        weights = tl.exp(lse + nats - base[:, None]) / denominator[:, None]
        add_sums(
            sums,
            norms * weights,
            weights,
            nats,
            counted,
            (at >= tl.load(limits + 4 * slot + 3)).to(tl.int32),
            head,
            segment,
            spans,
            slot,
            sums_slot_stride,
            sums_kind_stride,
            sums_head_stride,
        )
