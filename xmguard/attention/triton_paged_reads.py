"""What the kernels of `xmguard.attention.triton_paged` have in common: how a request's keys are cut, read and weighed.

Everything that differs from request to request is read from tables on the device, so a launch depends on the shape of
the batch alone. The borders of a request's spans cut its keys into runs: an even run belongs to the rest, run 2k + 1 to
span k. Nothing is checked. Sums are in float32; products of float32 inputs never go through TF32.
"""

from __future__ import annotations

import triton
import triton.language as tl

LAST = tl.constexpr(2147483647)


@triton.jit
def clipped_runs(borders, slot, spans, low, high, run):
    """Start and number of keys of each run within low .. high - 1; `run` is [run], and may count past the last."""
    base = borders + slot.to(tl.int64) * (2 * spans)
    start = tl.load(base + run - 1, mask=(run > 0) & (run <= 2 * spans), other=0)
    stop = tl.load(base + run, mask=run < 2 * spans, other=LAST)
    start = tl.maximum(start, low)
    keys = tl.maximum(tl.minimum(stop, high) - start, 0)
    return start, tl.where(run <= 2 * spans, keys, 0)


@triton.jit
def chunk_length(low, high, splits, least, block_keys):
    """Keys per chunk: `splits` chunks or fewer, but for the ends of runs, in whole tiles and never below `least`."""
    even = tl.cdiv(tl.cdiv(high - low, splits), block_keys) * block_keys
    return tl.maximum(even, least)


@triton.jit
def read_keys(
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
    page_keys: tl.constexpr,
    block_keys: tl.constexpr,
    with_values: tl.constexpr,
):
    """Keys start .. stop - 1 of one request, added to the running softmax (peak, total, out) of a tile of rows."""
    for first in range(start, stop, block_keys):
        index = first + tl.arange(0, block_keys)
        inside = index < stop
        page = tl.load(pages + index // page_keys, mask=inside, other=0).to(tl.int64)
        place = (index % page_keys).to(tl.int64)
        k = tl.load(
            key_base + (page * key_page_stride + place * key_stride)[:, None] + (dim * key_dim_stride)[None, :],
            mask=inside[:, None] & dim_valid[None, :],
            other=0.0,
        )
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scaling
        if soft_cap is not None:
            logits = soft_cap * (1.0 - 2.0 / (1.0 + tl.exp(2.0 / soft_cap * logits)))  # tanh
        seen = row_valid[:, None] & inside[None, :] & (index[None, :] <= at[:, None])
        if window is not None:
            seen = seen & (index[None, :] > at[:, None] - window)
        logits = tl.where(seen, logits, float("-inf"))
        higher = tl.maximum(peak, tl.max(logits, axis=1))
        # -inf minus -inf is NaN: a row that has seen nothing yet is measured from 0.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp(logits - base[:, None])
        fading = tl.exp(peak - base)
        total = total * fading + tl.sum(weights, axis=1)
        if with_values:
            v = tl.load(
                value_base
                + (page * value_page_stride + place * value_stride)[:, None]
                + (dim * value_dim_stride)[None, :],
                mask=inside[:, None] & dim_valid[None, :],
                other=0.0,
            )
            out = out * fading[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        peak = higher
    return peak, total, out


@triton.jit
def log_sum(values):
    """Logsumexp along the last axis of [row, segment]; -inf where there is nothing."""
    peak = tl.max(values, axis=1)
    base = tl.where(peak == float("-inf"), 0.0, peak)
    total = tl.sum(tl.exp(values - base[:, None]), axis=1)
    return tl.where(total > 0.0, base + tl.log(tl.where(total > 0.0, total, 1.0)), float("-inf"))


@triton.jit
def segment_epsilon(lse, at, segment, slot, spans, sink, factor, first_reader, epsilon, rules, shares, rule_values):
    """Nats for each row and segment, [row, segment]: constants of the spans a row reads with bias, and solved shares.

    The closed forms are those of `xmguard.attention.shares`, of the log-sum-exps under the constant epsilons. `sink`
    and the head's `factor` are [row]; a head with factor 0 is left alone. `lse` is read by the rules only.
    """
    where = slot.to(tl.int64) * spans + segment - 1
    is_span = (segment > 0) & (segment <= spans)
    reader = tl.load(first_reader + where, mask=is_span, other=LAST)
    reads = is_span[None, :] & (reader[None, :] <= at[:, None])
    steers = reads & (factor[:, None] > 0.0)
    constant = tl.load(epsilon + where, mask=is_span, other=0.0)
    nats = tl.where(steers, constant[None, :] * factor[:, None], 0.0)
    rule = tl.load(rules + slot)
    if rule != 0:
        biased = lse + nats
        asked = tl.load(shares + where, mask=is_span, other=0.0)[None, :]
        value = tl.load(rule_values + slot)
        alive = reads & (biased > float("-inf"))
        steered = alive & (asked > 0.0)
        log_asked = tl.log(tl.where(steered, asked, 1.0))
        if rule == 1:  # TargetShares
            unsteered = log_sum(tl.where(steered, float("-inf"), biased))
            # logaddexp with a sink that may not be there
            higher = tl.maximum(unsteered, sink)
            level = tl.where(higher == float("-inf"), 0.0, higher)
            both = tl.exp(unsteered - level) + tl.exp(sink - level)
            rest = level + tl.log(tl.where(both > 0.0, both, 1.0))
            rest_share = 1.0 - tl.sum(tl.where(steered, asked, 0.0), axis=1)
            rest_term = tl.where(both > 0.0, rest - tl.log(rest_share), 0.0)
            solved = tl.where(steered, log_asked - biased + rest_term[:, None], 0.0)
        elif rule == 2:  # FloorShares
            largest = tl.max(tl.where(reads, biased, float("-inf")), axis=1)
            lift = tl.where(steered, log_asked + largest[:, None] - biased, 0.0)
            solved = tl.minimum(tl.maximum(lift, 0.0), value)
        else:  # SoftenShares
            softened = tl.where(alive, biased / value, float("-inf"))
            kept = log_sum(tl.where(alive, biased, float("-inf"))) - log_sum(softened)
            solved = tl.where(alive, softened + kept[:, None] - biased, 0.0)
        nats += tl.where(factor[:, None] > 0.0, solved * factor[:, None], 0.0)
    return nats


@triton.jit
def add_sums(
    sums, norms, masses, nats, counted, kind, head, segment, spans, slot, slot_stride, kind_stride, head_stride
):
    """Norms, masses and epsilons [row, segment] of the counted rows into [slot, kind, head, quantity, segment]."""
    width = spans + 1
    base = sums + slot.to(tl.int64) * slot_stride + kind * kind_stride + head * head_stride
    place = base[:, None] + segment[None, :]
    mask = counted[:, None] & (segment <= spans)[None, :]
    tl.atomic_add(place, norms, mask=mask, sem="relaxed")
    tl.atomic_add(place + width, masses, mask=mask, sem="relaxed")
    tl.atomic_add(place + 2 * width, nats, mask=mask, sem="relaxed")
