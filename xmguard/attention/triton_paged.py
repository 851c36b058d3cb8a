"""Segmented attention over a paged cache, for a ragged batch whose requests read under biases of their own.

Only the rows that `SlotTables` serve are computed and written; whoever computes the others skips these, and every key
is read once (`key_value_bytes`). Launches depend on the batch's shape alone and allocate nothing, so they can be
captured in a CUDA graph. Knows nothing of models or requests. Import it only where triton is installed.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from xmguard.attention.slot_tables import SlotTables
from xmguard.attention.triton_paged_decode import join_kernel, split_kernel
from xmguard.attention.triton_paged_tiles import tile_kernel

SPLITS = 32
"""Most chunks, beyond the ends of spans, that the keys of one decoded token are cut into."""
PROGRAMS = 1024
"""Programs that fill a GPU: several for each of its processors."""
CHUNK = 256
"""Fewest keys of a chunk that is not the end of a span."""
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class PagedBatch:
    """Which rows are run, and where their keys lie. The tensors are on the device, at addresses that stay."""

    rows: Tensor
    """int32 [request, 3]: the request's slot, or -1 where nothing is served; first position whose row is summed; and 0
    where no row is left to whoever computes the others."""
    query_start_loc: Tensor
    """int32 [request + 1]: the first query token of each request, then the number of tokens."""
    seq_lens: Tensor
    """int32 [request]: keys of each request, those of its own query tokens included."""
    block_table: Tensor
    """int32 [request, page]: the cache's page that holds each run of `page_keys` positions."""
    tokens: int
    """Query tokens, known to the host."""
    longest: int
    """Most query tokens of one request, known to the host, or a bound of it."""


@dataclass(frozen=True)
class Workspace:
    """Where the parts of decoded tokens are kept until they are merged; one for all layers."""

    partial_out: Tensor
    """float32 [place, head, head_dim]; a place for each chunk of each request."""
    partial_lse: Tensor
    """float32 [place, head]"""
    requests: int
    """Most of a batch."""
    splits: int
    """Most chunks of one request, beyond the ends of runs."""
    chunk: int
    """Fewest keys of a chunk that is not the end of a run."""

    @classmethod
    def of(
        cls,
        requests: int,
        heads: int,
        head_dim: int,
        *,
        kv_heads: int,
        spans: int,
        device: torch.device | str,
        splits: int = SPLITS,
        chunk: int = CHUNK,
    ) -> Workspace:
        """Room for the chunks of up to `requests` decoded tokens, however many there are of them."""
        places = max(count * (split_count(count, kv_heads, splits) + 2 * spans + 1) for count in range(1, requests + 1))
        return cls(
            torch.empty(places, heads, head_dim, dtype=torch.float32, device=device),
            torch.empty(places, heads, dtype=torch.float32, device=device),
            requests,
            splits,
            chunk,
        )


def split_count(requests: int, kv_heads: int, most: int = SPLITS) -> int:
    """Chunks for the keys of each request, so that few requests fill a GPU and many do not pay for chunks."""
    return min(most, -(-PROGRAMS // (requests * kv_heads)))


@dataclass(frozen=True)
class RequestBytes:
    """Bytes of keys and values that one layer reads for one request."""

    stock: int
    """By the engine's own attention."""
    served: int
    """By the kernels here."""


def key_value_bytes(
    seq_len: int,
    queries: int,
    served_from: int | None,
    *,
    kv_heads: int,
    key_bytes: int,
    tile: int,
    window: int | None = None,
    solved: bool = False,
) -> RequestBytes:
    """What a step reads for one request, as both kernels and flash attention read: once for every tile of queries.

    Args:
        seq_len: keys, those of the step's own tokens included.
        queries: tokens of this step.
        served_from: first position that is served; None serves none.
        kv_heads: key heads of this device.
        key_bytes: of one key and its value in one head.
        tile: queries of a tile.
        window: keys a row sees, itself included.
        solved: a share rule has to be solved, for which several queries read the keys twice; without their values.
    """
    first = seq_len - queries

    def tiles(begin: int, serving: bool) -> int:
        keys = 0
        for start in range(0, queries, tile):
            at, last = first + start, min(first + start + tile, seq_len) - 1
            if serving and last < begin:
                continue
            low = 0 if window is None else max((max(at, begin) if serving else at) + 1 - window, 0)
            keys += last + 1 - low
        return keys * kv_heads * key_bytes

    whole = served_from is not None and first >= served_from
    served = 0 if served_from is None else tiles(served_from, True)
    if solved and queries > 1:
        served += served // 2
    return RequestBytes(0 if whole else tiles(0, False), served)


def check_fits(query: Tensor, key: Tensor, value: Tensor, output: Tensor, factors: Tensor, tables: SlotTables) -> None:
    """Whether one layer's tensors are what `paged_attention` takes; call it once, outside of a graph.

    Raises:
        ValueError: a dtype, a shape or a stride is not.
    """
    _, heads, head_dim = query.shape
    if query.dtype not in DTYPES or key.dtype != query.dtype or value.dtype != query.dtype:
        raise ValueError(
            f"queries are {query.dtype}, keys {key.dtype}, values {value.dtype}; the kernels take one dtype of "
            f"{', '.join(map(str, DTYPES))}"
        )
    if key.shape != value.shape or key.shape[3] != head_dim or heads % key.shape[1]:
        raise ValueError(
            f"keys {list(key.shape)} and values {list(value.shape)} do not fit {heads} heads of {head_dim}"
        )
    if key.shape[2] & (key.shape[2] - 1):
        raise ValueError(f"a page holds {key.shape[2]} keys; it must be a power of 2")
    if query.stride(2) != 1 or output.stride(2) != 1 or output.shape != query.shape:
        raise ValueError("queries and output must have one shape and be contiguous along head_dim")
    if factors.shape[0] != heads or factors.shape[2] != head_dim or factors.dtype != torch.float32:
        raise ValueError(f"factors {list(factors.shape)} in {factors.dtype} do not fit {heads} heads of {head_dim}")
    if not factors.is_contiguous() or tables.head_factors.shape[2] != heads:
        raise ValueError(f"factors are contiguous and the tables of {heads} heads, not {tables.head_factors.shape[2]}")


def paged_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    batch: PagedBatch,
    tables: SlotTables,
    workspace: Workspace,
    *,
    layer: int,
    scaling: float,
    factors: Tensor,
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: Tensor | None = None,
) -> None:
    """Write the served rows of one layer's output, and add what they read of each segment to `tables.sums`.

    Args:
        query: [token, head, head_dim].
        key: [page, kv_head, key, head_dim], any strides: half of vLLM's cache as it lies.
        value: as `key`.
        output: as `query`; rows that are not served are left as they are.
        batch: the rows and their pages.
        tables: what each slot reads.
        workspace: for at least as many requests as the batch has.
        layer: index into the tables.
        scaling: factor of the logits.
        factors: R_h of `head_norms.norm_factors`, [head, e, head_dim] float32.
        window: a row sees only keys less than this far behind it.
        soft_cap: logits become cap * tanh(logits / cap), before the bias.
        sinks: logit per head of an attention sink, [head]: a share without a value, never biased.

    Checks nothing: `check_fits` does, once. Sums over rows of one tile are added atomically, in no fixed order.
    """
    _, heads, head_dim = query.shape
    _, kv_heads, page_keys, _ = key.shape
    groups = heads // kv_heads
    requests = batch.seq_lens.shape[0]
    spans = tables.spans
    block_dim = max(16, triton.next_power_of_2(head_dim))
    block_segments = max(16, triton.next_power_of_2(spans + 1))
    block_runs = triton.next_power_of_2(2 * spans + 1)
    splits = split_count(requests, kv_heads, workspace.splits)
    pieces = splits + 2 * spans + 1  # every run between two borders may end in a chunk of its own
    sums, head_factors = tables.sums[:, :, layer], tables.head_factors[:, layer]
    decode_rows, decode_keys, tile_rows, tile_keys = tile_sizes(groups, block_dim, query.dtype)
    least = max(decode_keys, workspace.chunk // decode_keys * decode_keys)
    cache_strides = (*key.stride(), *value.stride(), batch.block_table.stride(0))
    readings = (tables.first_reader, tables.epsilon, tables.rules, tables.shares, tables.rule_values, head_factors)
    sums_strides = (sums.stride(0), sums.stride(1), sums.stride(2))
    with torch.cuda.device(query.device) if query.is_cuda else nullcontext():
        split_kernel[(requests * pieces, kv_heads)](
            query,
            key,
            value,
            batch.rows,
            batch.query_start_loc,
            batch.seq_lens,
            batch.block_table,
            tables.limits,
            tables.borders,
            workspace.partial_out,
            workspace.partial_lse,
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
            query.stride(0),
            query.stride(1),
            *cache_strides,
            page_keys=page_keys,
            block_runs=block_runs,
            block_rows=decode_rows,
            block_keys=decode_keys,
            block_dim=block_dim,
            num_warps=4,
            enable_fp_fusion=True,
            num_stages=2,
        )
        join_kernel[(requests, heads)](
            workspace.partial_out,
            workspace.partial_lse,
            output,
            sums,
            factors,
            sinks,
            batch.rows,
            batch.query_start_loc,
            batch.seq_lens,
            tables.limits,
            tables.borders,
            *readings,
            window,
            spans,
            splits,
            least,
            requests,
            heads,
            head_dim,
            factors.shape[1],
            output.stride(0),
            output.stride(1),
            head_factors.stride(0),
            *sums_strides,
            block_keys=decode_keys,
            block_runs=block_runs,
            block_pieces=max(16, triton.next_power_of_2(pieces)),
            block_segments=block_segments,
            block_dim=block_dim,
            block_width=16,
            num_warps=4,
            enable_fp_fusion=True,
        )
        if batch.longest == 1:
            return
        block_queries = tile_rows // groups
        tile_kernel[(batch.tokens // block_queries + requests, kv_heads)](
            query,
            key,
            value,
            output,
            sums,
            factors,
            sinks,
            batch.rows,
            batch.query_start_loc,
            batch.seq_lens,
            batch.block_table,
            tables.limits,
            tables.borders,
            *readings,
            scaling,
            window,
            soft_cap,
            requests,
            spans,
            heads,
            groups,
            head_dim,
            factors.shape[1],
            query.stride(0),
            query.stride(1),
            output.stride(0),
            output.stride(1),
            *cache_strides,
            head_factors.stride(0),
            *sums_strides,
            page_keys=page_keys,
            block_requests=triton.next_power_of_2(workspace.requests),
            block_queries=block_queries,
            block_rows=tile_rows,
            block_keys=tile_keys,
            block_segments=block_segments,
            block_dim=block_dim,
            block_width=16,
            num_warps=8,
            enable_fp_fusion=True,
            num_stages=2,
        )


def tile_sizes(groups: int, block_dim: int, dtype: torch.dtype) -> tuple[int, int, int, int]:
    """Rows and keys of a decoded token's tile, and rows and keys of a tile of queries."""
    decode_rows = max(16, triton.next_power_of_2(groups))
    if dtype == torch.float32:
        keys = max(16, min(32, 4096 // block_dim))
        return decode_rows, keys, decode_rows, keys
    keys = max(16, min(64, 8192 // block_dim))
    return decode_rows, keys, max(decode_rows, keys), keys
