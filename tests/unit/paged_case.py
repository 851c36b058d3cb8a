"""A ragged batch over a paged cache full of traps, and what must come out of it by the float64 reference."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from xmguard.attention.head_norms import norm_factors
from xmguard.attention.reference import Reference, reference_attention
from xmguard.attention.segments import Segmentation
from xmguard.attention.shares import floor_epsilon, soften_epsilon, target_epsilon
from xmguard.attention.slot_tables import GENERATED, LAST, PROMPT, Rule, SlotReading, SlotTables
from xmguard.attention.triton_paged import PagedBatch, Workspace, paged_attention

UNTOUCHED = 77.0
"""What rows that are not served hold before and after."""
LAYER = 1
"""Of two; the other's tables hold a trap."""


@dataclass(frozen=True)
class Request:
    """One row of the batch."""

    keys: int
    queries: int = 1
    reading: SlotReading | None = None
    """None is a request nobody asked anything of."""
    count_from: int = 0


@dataclass(frozen=True)
class PagedCase:
    requests: tuple[Request, ...]
    padding: int = 0
    """Rows without a request at the end, as a captured graph has them."""
    kv_heads: int = 2
    groups: int = 2
    head_dim: int = 16
    page_keys: int = 4
    heads_first: bool = False
    """Whether a page holds head by head instead of key by key."""
    window: int | None = None
    soft_cap: float | None = None
    sinks: bool = False
    dtype: torch.dtype = torch.float32
    spans: int = 3
    splits: int = 2
    chunk: int = 16
    seed: int = 0

    @property
    def heads(self) -> int:
        return self.kv_heads * self.groups

    def normal(self, offset: int, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(1000 * self.seed + offset))


@dataclass
class Inputs:
    case: PagedCase
    arguments: tuple
    options: dict
    output: Tensor
    keys: list[Tensor]
    """Of each request, [kv_head, key, head_dim]."""
    values: list[Tensor]
    projection: Tensor = field(repr=False)


def prepare(case: PagedCase, device: str = "cpu") -> Inputs:
    """Pages lie in no order, and whatever is not a key of a request is NaN."""
    requests = case.requests
    tokens = sum(request.queries for request in requests)
    pages = [-(-request.keys // case.page_keys) for request in requests]
    order = torch.randperm(sum(pages) + 1, generator=torch.Generator().manual_seed(case.seed)).tolist()
    shape = (case.page_keys, case.kv_heads) if not case.heads_first else (case.kv_heads, case.page_keys)
    cache = torch.full((len(order), *shape, 2 * case.head_dim), torch.nan, dtype=case.dtype)
    if not case.heads_first:
        cache = cache.transpose(1, 2)  # [page, kv_head, key, 2 * head_dim], as vLLM sees it
    rows = len(requests) + case.padding
    table = torch.full((rows, max(pages) + 1), 10**6, dtype=torch.int32)
    keys, values = [], []
    for index, request in enumerate(requests):
        scale = 2 if index % 2 else 1
        key = (case.normal(10 * index + 1, case.kv_heads, request.keys, case.head_dim) * scale).to(case.dtype)
        value = case.normal(10 * index + 2, case.kv_heads, request.keys, case.head_dim).to(case.dtype)
        for page in range(pages[index]):
            held = slice(page * case.page_keys, min((page + 1) * case.page_keys, request.keys))
            table[index, page] = order.pop()
            target = cache[table[index, page], :, : held.stop - held.start]
            target.copy_(torch.cat([key[:, held], value[:, held]], dim=-1))
        keys.append(key)
        values.append(value)
    starts = [0]
    for request in requests:
        starts.append(starts[-1] + request.queries)
    starts += [tokens] * case.padding
    # Slots are not rows: request i has slot 2i + 1, and the slots between hold readings that nobody must see.
    tables = SlotTables.empty(2 * rows + 2, spans=case.spans, layers=2, heads=case.heads, device=device)
    trap = SlotReading(((0, LAST),), (0,), (5.0,), served_from=0, measured_from=0)
    tables.write(dict.fromkeys(range(2 * rows + 2), trap))
    served = {2 * index + 1: request.reading for index, request in enumerate(requests) if request.reading}
    tables.write(served)
    tables.head_factors[:, 1 - LAYER] = 0.3
    told = [(2 * index + 1 if request.reading else -1, request.count_from, 1) for index, request in enumerate(requests)]
    lengths = [request.keys for request in requests]
    batch = PagedBatch(
        rows=torch.tensor(told + [(-1, 0, 1)] * case.padding, dtype=torch.int32, device=device),
        query_start_loc=torch.tensor(starts, dtype=torch.int32, device=device),
        seq_lens=torch.tensor(lengths + [0] * case.padding, dtype=torch.int32, device=device),
        block_table=table.to(device),
        tokens=tokens,
        longest=max(request.queries for request in requests),
    )
    query = (case.normal(5, tokens, case.heads, case.head_dim) * 2).to(case.dtype)
    projection = case.normal(6, 24, case.heads * case.head_dim)
    cache = cache.to(device)
    key_cache, value_cache = cache.split(case.head_dim, dim=-1)
    output = torch.full_like(query, UNTOUCHED, device=device)
    workspace = Workspace.of(
        rows,
        case.heads,
        case.head_dim,
        kv_heads=case.kv_heads,
        spans=case.spans,
        device=device,
        splits=case.splits,
        chunk=case.chunk,
    )
    workspace.partial_out.fill_(torch.nan)
    workspace.partial_lse.fill_(torch.nan)
    options = {
        "layer": LAYER,
        "scaling": case.head_dim**-0.5,
        "factors": norm_factors(projection, case.heads).contiguous().to(device),
        "window": case.window,
        "soft_cap": case.soft_cap,
        "sinks": torch.linspace(-1, 4, case.heads, device=device) if case.sinks else None,
    }
    arguments = (query.to(device), key_cache, value_cache, output, batch, tables, workspace)
    return Inputs(case, arguments, options, output, keys, values, projection)


def run(case: PagedCase, device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Output and sums."""
    inputs = prepare(case, device)
    paged_attention(*inputs.arguments, **inputs.options)
    return inputs.output.cpu(), inputs.arguments[5].sums.cpu()


@dataclass(frozen=True)
class Expected:
    """Of one request."""

    reference: Reference
    epsilon: Tensor
    """[segment, 1, head, query]"""
    norms: Tensor
    """As `epsilon`."""


def expected(inputs: Inputs, index: int, biased: bool = True) -> Expected:
    """What the reference says of a request that is served."""
    case, request = inputs.case, inputs.case.requests[index]
    reading = request.reading
    first = sum(r.queries for r in case.requests[:index])
    query = inputs.arguments[0][first : first + request.queries].cpu().transpose(0, 1).unsqueeze(0)
    cut = Segmentation.from_spans(reading.spans, request.keys)
    at = torch.arange(request.keys - request.queries, request.keys)
    position = torch.arange(request.keys)
    visible = position <= at.unsqueeze(-1)
    if case.window is not None:
        visible &= position > at.unsqueeze(-1) - case.window
    options = {
        "segmentation": cut,
        "scaling": inputs.options["scaling"],
        "visible": visible,
        "soft_cap": case.soft_cap,
        "sinks": None if inputs.options["sinks"] is None else inputs.options["sinks"].cpu(),
    }
    key, value = inputs.keys[index].unsqueeze(0), inputs.values[index].unsqueeze(0)
    epsilon = torch.zeros(cut.segments, 1, case.heads, request.queries, dtype=torch.float64)
    if biased:
        epsilon = _epsilon(reading, query, key, at, **options)
    reference = reference_attention(query, key, value, epsilon=epsilon, **options)
    per_head = inputs.projection.double().view(24, case.heads, -1)
    norms = torch.einsum("mhd,sbhqd->sbhqm", per_head, reference.segment_outputs).norm(dim=-1)
    return Expected(reference, epsilon, norms)


def _epsilon(reading, query, key, at, segmentation, scaling, visible, soft_cap, sinks) -> Tensor:
    """Constants of the spans that a row reads, then the rule's, each times the head's factor."""
    heads = query.shape[1]
    reads = torch.tensor([LAST, *reading.first_reader]).unsqueeze(-1) <= at  # [segment, query]
    reads = reads[:, None, None]
    factors = torch.ones(2, heads) if reading.head_factors is None else reading.head_factors
    factor = factors[LAYER].double().view(1, 1, -1, 1)
    constant = torch.tensor([0.0, *reading.epsilon], dtype=torch.float64).view(-1, 1, 1, 1)
    epsilon = torch.where(reads & (factor > 0), constant * factor, 0.0)
    if reading.rule is Rule.NONE:
        return epsilon
    key = key.double().repeat_interleave(heads // key.shape[1], dim=1)
    logits = torch.einsum("bhqd,bhkd->bhqk", query.double(), key) * scaling
    if soft_cap is not None:
        logits = soft_cap * torch.tanh(logits / soft_cap)
    logits = logits.masked_fill(~visible, -torch.inf)
    lse = torch.full_like(epsilon.expand(-1, 1, heads, len(at)), -torch.inf)
    for piece in segmentation.pieces:
        lse[piece.segment] = torch.logaddexp(lse[piece.segment], logits[..., piece.start : piece.stop].logsumexp(-1))
    lse = lse + epsilon
    asked = torch.tensor([0.0, *reading.shares, *[0.0] * (len(reading.spans) - len(reading.shares))]).double()
    asked = torch.where(reads, asked.view(-1, 1, 1, 1), 0.0)
    value = torch.tensor(reading.rule_value, dtype=torch.float64)
    solved = {
        Rule.TARGET: lambda: target_epsilon(lse, asked, sinks),
        Rule.FLOOR: lambda: floor_epsilon(lse, asked, reads, value),
        Rule.SOFTEN: lambda: soften_epsilon(lse, value, reads),
    }[reading.rule]()
    return epsilon + torch.where(factor > 0, solved * factor, 0.0)


TOLERANCE = {
    torch.float32: {"rtol": 2e-5, "atol": 1e-5},
    torch.bfloat16: {"rtol": 2e-2, "atol": 1e-2},
    torch.float16: {"rtol": 2e-3, "atol": 2e-3},
}


def assert_equal(got: tuple[Tensor, Tensor], inputs: Inputs, biased: bool = True) -> None:
    """Served rows and their sums are the reference's, all others are as they were, and nothing is NaN."""
    output, sums = got
    case = inputs.case
    tolerance = TOLERANCE[case.dtype]
    wanted = torch.zeros_like(sums, dtype=torch.float64)
    first = 0
    for index, request in enumerate(case.requests):
        rows = output[first : first + request.queries].double()
        first += request.queries
        served = 0
        if request.reading is None:
            served = request.queries
        else:
            start = request.keys - request.queries
            served = min(max(request.reading.served_from - start, 0), request.queries)
            want = expected(inputs, index, biased)
            torch.testing.assert_close(rows[served:], want.reference.output[0].transpose(0, 1)[served:], **tolerance)
            for query in range(served, request.queries):
                position = start + query
                if position < max(request.reading.measured_from, request.count_from):
                    continue
                kind = GENERATED if position >= request.reading.prompt_tokens else PROMPT
                told = torch.stack([want.norms, want.reference.masses, want.epsilon.expand_as(want.norms)])
                target = wanted[2 * index + 1, kind, LAYER]
                target[..., : told.shape[1]] += told[:, :, 0, :, query].permute(2, 0, 1)
        assert (rows[:served] == UNTOUCHED).all()
    wider = {name: 10 * value for name, value in tolerance.items()}
    torch.testing.assert_close(sums.double(), wanted, **wider)


def reads(*spans: tuple[int, int], epsilon: tuple[float, ...], reader: int, **changes) -> SlotReading:
    """A reading whose rows from `reader` on are biased, served and measured."""
    plain = SlotReading(spans, (reader,) * len(spans), epsilon, served_from=reader, measured_from=reader)
    return replace(plain, **changes)
