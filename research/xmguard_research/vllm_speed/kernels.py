"""One layer of one step, made up: the compiled path of the overlay next to the torch path. Needs no engine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch

from xmguard.attention.head_norms import norm_factors
from xmguard.backends.vllm.spec import ReadingSpec
from xmguard.backends.vllm.worker.layer_call import LayerCall
from xmguard.backends.vllm.worker.layout import Layout, Order
from xmguard.backends.vllm.worker.paths import Path, chosen
from xmguard.backends.vllm.worker.readings import Chunk, ModelFacts, Reader, Step
from xmguard.bias import AttentionBias
from xmguard.context import SpanMap, SpanTokens
from xmguard_research.speed.timing import Timed, Variant

BLOCK = 32


@dataclass(frozen=True)
class Shape:
    """A layer's heads, and a step's requests: each decodes one row over so many keys."""

    heads: int = 9
    kv_heads: int = 3
    dim: int = 64
    requests: int = 16
    keys: int = 400


def variants(shape: Shape, *, calls: int) -> Mapping[str, Variant]:
    """Seconds per call; every row is steered and measured.

    Raises:
        RuntimeError: there is no compiled path here.
    """
    call, chunks = _made_up(shape)
    caches = [(call.layout, torch.float32)]
    compiled, said = chosen(caches, 1)
    plain, _ = chosen(caches, 1, compiled=False)
    if not said.startswith("compiled"):
        raise RuntimeError(f"rows are read by {said}")
    return {"torch": partial(_time, plain, call, chunks, 1), "compiled": partial(_time, compiled, call, chunks, calls)}


def _time(path: Path, call: LayerCall, chunks: tuple[Chunk, ...], calls: int) -> Timed:
    def fail(chunk: Chunk, error: Exception) -> None:
        raise error

    step = Step(chunks)
    path(call, step, fail)  # what all layers of a step share is made ready by its first one
    started = time.perf_counter()
    for _ in range(calls):
        path(call, step, fail)
    return Timed((time.perf_counter() - started) / calls)


def _made_up(shape: Shape) -> tuple[LayerCall, tuple[Chunk, ...]]:
    """A float32 cache as vLLM lays it out on most processors: keys [dim, token], values [token, dim]."""
    seed = torch.Generator().manual_seed(0)
    pages = -(-shape.keys // BLOCK)
    cache = torch.randn(shape.requests * pages, shape.kv_heads, 2 * BLOCK, shape.dim, generator=seed)
    keys, values = cache.chunk(2, dim=2)
    tokens, dims = torch.arange(BLOCK).view(-1, 1), torch.arange(shape.dim)
    layout = Layout(
        Order((dims * BLOCK + tokens).flatten(), BLOCK), Order((tokens * shape.dim + dims).flatten(), BLOCK)
    )
    width = shape.heads * shape.dim
    factors = norm_factors(torch.randn(width, width, generator=seed), shape.heads)
    call = LayerCall(
        layer=0,
        query=torch.randn(shape.requests, shape.heads, shape.dim, generator=seed),
        output=torch.zeros(shape.requests, shape.heads, shape.dim),
        key_cache=keys,
        value_cache=values,
        layout=layout,
        block_table=torch.randperm(shape.requests * pages, generator=seed).int().view(shape.requests, pages),
        scaling=shape.dim**-0.5,
        window=None,
        soft_cap=None,
        sinks=None,
        factors=factors,
    )
    prompt = shape.keys - 1
    borders = [4 + (prompt - 20) * index // 3 for index in range(4)]
    spans = SpanMap(tuple(SpanTokens(f"s{n}", *borders[n : n + 2]) for n in range(3)), borders[-1])
    facts = ModelFacts({}, shape.heads, slice(0, shape.heads), [factors])
    bias = AttentionBias({"s0": 1.0, "s1": -0.5})
    chunks = []
    for index in range(shape.requests):
        reader = Reader(ReadingSpec(str(index), spans, prompt, bias, measured=True), [], facts)
        assert reader.generated is not None
        counted = ((reader.generated, prompt, shape.keys),)
        chunks.append(Chunk(reader, index, index, prompt, shape.keys, counted))
    return call, tuple(chunks)
