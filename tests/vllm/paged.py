"""Batches of requests whose keys lie in pages, made up without an engine, and what the reference reads of them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xmguard.attention.head_norms import norm_factors
from xmguard.attention.reference import reference_attention
from xmguard.attention.segments import Segmentation
from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.backends.vllm.worker.layer_call import LayerCall
from xmguard.backends.vllm.worker.layout import Layout, Order
from xmguard.backends.vllm.worker.readings import Chunk, ModelFacts, Reader
from xmguard.bias import AttentionBias
from xmguard.context import SpanMap, SpanTokens

LAYERS, HEADS, BLOCK = 2, 6, 32
STALE = 1e4
"""Lies where nothing of a request was written."""


def turned(dim: int, block: int = BLOCK) -> Layout:
    """Keys [dim, token], values [token, dim]: what vLLM calls `vec`."""
    tokens, dims = torch.arange(block).view(-1, 1), torch.arange(dim)
    return Layout(Order((dims * block + tokens).flatten(), block), Order((tokens * dim + dims).flatten(), block))


def paired(dim: int, block: int = BLOCK) -> Layout:
    """Tiles of sixteen pairs of 16-bit numbers: what vLLM calls `amx`."""
    tokens, dims = torch.arange(block).view(-1, 1), torch.arange(dim)
    keys = tokens // 16 * 16 * dim + dims // 2 * 32 + tokens % 16 * 2 + dims % 2
    values = dims // 16 * 16 * block + tokens // 2 * 32 + dims % 16 * 2 + tokens % 2
    return Layout(Order(keys.flatten(), block), Order(values.flatten(), block))


@dataclass
class Request:
    """Positions start .. stop - 1 are run in the step."""

    start: int
    stop: int
    spans: tuple[tuple[int, int], ...] = ((3, 21), (21, 53), (60, 66))
    bias: AttentionBias = field(default_factory=AttentionBias)
    prompt: int = 70
    measured: bool = True


class Batch:
    """One step of a layer of 6 heads."""

    def __init__(self, requests, *, layout=None, dim=32, kv_heads=3, dtype=torch.float32, **settings):
        seed = torch.Generator().manual_seed(len(requests))

        def numbers(*shape):
            return torch.randn(shape, generator=seed).to(dtype)

        self.requests = requests
        layout = layout or turned(dim)
        tokens = sum(request.stop - request.start for request in requests)
        pages = [-(-request.stop // BLOCK) for request in requests]
        blocks = torch.randperm(sum(pages) + 3, generator=seed)
        table = torch.zeros(len(requests), max(pages), dtype=torch.int32)
        cache = torch.full((len(blocks), kv_heads, 2 * BLOCK, dim), STALE, dtype=dtype)
        keys, values = cache.chunk(2, dim=2)
        self.keys, self.values = [], []
        for index, request in enumerate(requests):
            mine, blocks = blocks[: pages[index]], blocks[pages[index] :]
            table[index, : len(mine)] = mine
            for pool, into, order in ((self.keys, keys, layout.key), (self.values, values, layout.value)):
                pool.append(numbers(kv_heads, request.stop, dim))
                whole = torch.full((kv_heads, len(mine) * BLOCK, dim), STALE, dtype=dtype)
                whole[:, : request.stop] = pool[-1]
                for page, block in enumerate(mine.tolist()):
                    plain = whole[:, page * BLOCK : page * BLOCK + BLOCK].reshape(kv_heads, -1)
                    flat = torch.empty_like(plain)
                    flat[:, order.places] = plain
                    into[block] = flat.view(kv_heads, BLOCK, dim)
        factors = norm_factors(numbers(HEADS * dim, HEADS * dim).float(), HEADS)
        packed = numbers(tokens, (HEADS + 2 * kv_heads) * dim)  # queries lie beside keys and values
        self.call = LayerCall(
            layer=1,
            query=packed[:, : HEADS * dim].view(tokens, HEADS, dim),
            output=torch.zeros(tokens, HEADS, dim, dtype=dtype),
            key_cache=keys,
            value_cache=values,
            layout=layout,
            block_table=table,
            scaling=2 * dim**-0.5,
            window=settings.get("window"),
            soft_cap=settings.get("soft_cap"),
            sinks=settings.get("sinks"),
            factors=factors,
        )
        facts = ModelFacts({}, HEADS, slice(0, HEADS), [factors] * LAYERS)
        chunks, row = [], 0
        for index, request in enumerate(requests):
            spans = tuple(SpanTokens("abcdefgh"[n], *span) for n, span in enumerate(request.spans))
            context = max([stop for _, stop in request.spans], default=0)
            spec = ReadingSpec(
                f"r{index}", SpanMap(spans, context), request.prompt, request.bias, measured=request.measured
            )
            reader = Reader(spec, [], facts)
            counted = []
            if request.measured:
                first = max(context, request.start)
                ranges = [(first, min(request.stop, request.prompt)), (max(first, request.prompt), request.stop)]
                pairs = zip((reader.prompt, reader.generated), ranges, strict=True)
                counted = [(totals, *each) for totals, each in pairs if each[0] < each[1]]
            chunks.append(Chunk(reader, index, row, request.start, request.stop, tuple(counted)))
            row += request.stop - request.start
        self.chunks = tuple(chunks)

    def without(self, index):
        """The same batch, of which one request is not looked at."""
        other = copy(self)
        for name in ("requests", "chunks", "keys", "values"):
            kept = list(getattr(self, name))
            del kept[index]
            setattr(other, name, kept)
        return other

    def assert_read(self, *, rtol, atol):
        """What was written and summed is the reference's."""
        for request, chunk, keys, values in zip(self.requests, self.chunks, self.keys, self.values, strict=True):
            reader, call = chunk.reader, self.call
            cut = Segmentation.from_spans(request.spans, request.stop)
            positions = torch.arange(request.start, request.stop)
            columns = torch.arange(request.stop)
            visible = columns <= positions.view(-1, 1)
            if call.window is not None:
                visible &= columns > positions.view(-1, 1) - call.window
            rows = slice(chunk.row, chunk.row + len(positions))
            inputs = call.query[rows].transpose(0, 1)[None], keys[None], values[None]
            fixed = {"segmentation": cut, "scaling": call.scaling, "visible": visible, "soft_cap": call.soft_cap}
            epsilon = torch.zeros(cut.segments, 1, HEADS, len(positions))
            if reader.steering is not None:
                plain = reference_attention(*inputs, epsilon=epsilon, sinks=None, **fixed)
                lse = _lse(call, inputs, cut, visible) if reader.steering.follows_shares else plain.masses
                epsilon = reader.steering.epsilon(call.layer, lse, positions, call.sinks)
            want = reference_attention(*inputs, epsilon=epsilon, sinks=call.sinks, **fixed)
            steered = positions >= reader.steered_from
            written = call.output[rows].double()
            torch.testing.assert_close(
                written[steered], want.output[0].transpose(0, 1)[steered], rtol=rtol, atol=atol, check_dtype=False
            )
            assert not written[~steered].any(), "rows without a bias are vLLM's"
            wide = torch.einsum("sbhqd,hed->sbhqe", want.segment_outputs, call.factors.double())
            norms = torch.linalg.vector_norm(wide, dim=-1)
            for totals, start, stop in chunk.counted:
                own = slice(start - request.start, stop - request.start)
                for found, wanted in zip(totals.arrays(), (norms, want.masses, epsilon), strict=True):
                    assert not found[0].any(), "another layer's"
                    summed = wanted[:, 0, :, own].sum(-1).T
                    torch.testing.assert_close(found[1].double(), summed.double(), rtol=rtol, atol=atol)


def _lse(call: LayerCall, inputs, cut: Segmentation, visible: Tensor) -> Tensor:
    query, key, _ = (each.double() for each in inputs)
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key.repeat_interleave(HEADS // key.shape[1], 1)) * call.scaling
    if call.soft_cap is not None:
        logits = call.soft_cap * torch.tanh(logits / call.soft_cap)
    logits = logits.masked_fill(~visible, -torch.inf)
    found = torch.full((cut.segments, *logits.shape[:3]), -torch.inf, dtype=torch.float64)
    for piece in cut.pieces:
        part = torch.logsumexp(logits[..., piece.start : piece.stop], -1)
        found[piece.segment] = torch.logaddexp(found[piece.segment], part)
    return found
