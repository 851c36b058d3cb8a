"""Inputs of segmented attention over a shared context and each branch's own keys, and what must come out of it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from xmguard.attention.head_norms import norm_factors
from xmguard.attention.reference import Reference, reference_attention
from xmguard.attention.segments import Piece, Segmentation
from xmguard.attention.triton_segments import ChunkPlan, KeyBlock, Segmented

INF = math.inf
SPANS = {
    "odd borders": [(3, 8), (11, 18)],
    "one token": [(5, 6), (12, 13)],
    "adjacent, first to last key": [(0, 7), (7, 9), (9, 21)],
    "empty": [(4, 4), (6, 11), (21, 21)],
    "none": [],
}
TOLERANCE = {
    torch.float32: {"rtol": 2e-5, "atol": 1e-5},
    # 8 and 11 bits of mantissa: of the weights before they meet the values, and of the output.
    torch.bfloat16: {"rtol": 2e-2, "atol": 1e-2},
    torch.float16: {"rtol": 2e-3, "atol": 2e-3},
}


@dataclass(frozen=True)
class Case:
    """A shared context that all branches read, and each branch's own keys, of which it has `own - padding[branch]`."""

    spans: tuple[tuple[int, int], ...] = tuple(SPANS["odd borders"])
    context: int = 21
    own: int = 4
    padding: tuple[int, ...] = (0, 2)
    """Padded own keys on the left, per branch."""
    rows: int = 2
    kv_heads: int = 2
    groups: int = 2
    head_dim: int = 16
    window: int | None = None
    soft_cap: float | None = None
    sinks: bool = False
    dtype: torch.dtype = torch.float32
    chunk: int = 8
    seed: int = 0

    @property
    def branches(self) -> int:
        return len(self.padding)

    @property
    def heads(self) -> int:
        return self.kv_heads * self.groups

    @property
    def segments(self) -> int:
        return len(self.spans) + 1

    def normal(self, *shape: int, offset: int = 0) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(100 * self.seed + offset))

    def epsilon(self) -> Tensor:
        """A bias of its own for every segment, branch, head and row."""
        bias = self.normal(self.segments, self.branches, self.heads, self.rows, offset=9) * 2
        bias[0] = 0.0
        return bias


@dataclass(frozen=True)
class Inputs:
    query: Tensor
    blocks: list[KeyBlock]
    plan: ChunkPlan
    cuts: list[Segmentation]
    options: dict
    projection: Tensor
    """W_O, [d_model, heads * head_dim]."""
    visible: Tensor
    """[branch, 1, row, context and own keys]"""


def prepare(case: Case, device: str = "cpu") -> Inputs:
    """Rows are the last positions of each branch; own keys follow the context, padding on the left in the way."""
    assert case.rows <= case.own - max(case.padding)  # a row that is padding would lie in the context
    shape = (case.kv_heads, case.context, case.head_dim)
    query = case.normal(case.branches, case.heads, case.rows, case.head_dim, offset=1) * 2
    shared = [case.normal(1, *shape, offset=offset) * (2 if offset == 2 else 1) for offset in (2, 3)]
    own = [case.normal(case.branches, case.kv_heads, case.own, case.head_dim, offset=offset) for offset in (4, 5)]
    query, *keys = (tensor.to(device, case.dtype) for tensor in (query, *shared, *own))
    padding = torch.tensor(case.padding, device=device).unsqueeze(-1)
    context_at = torch.arange(case.context, device=device)
    own_at = case.context - padding + torch.arange(case.own, device=device)
    query_at = own_at[:, case.own - case.rows :]
    real = torch.arange(case.own, device=device) >= padding
    positions = torch.cat([context_at.expand(case.branches, -1), own_at], dim=1).unsqueeze(1)
    visible = positions <= query_at.unsqueeze(-1)
    if case.window is not None:
        visible &= positions > query_at.unsqueeze(-1) - case.window
    visible[:, :, case.context :] &= real.unsqueeze(1)
    cuts = [Segmentation.from_spans(case.spans, case.context), Segmentation.from_spans([], case.own)]
    projection = case.normal(24, case.heads * case.head_dim, offset=6).to(device)
    options = {
        "scaling": case.head_dim**-0.5,
        "query_positions": query_at,
        "window": case.window,
        "soft_cap": case.soft_cap,
        "sinks": torch.linspace(-1, 4, case.heads, device=device) if case.sinks else None,
        "factors": norm_factors(projection, case.heads),
        "states": True,
    }
    return Inputs(
        query,
        [
            KeyBlock(keys[0], keys[1], None if case.window is None else context_at),
            KeyBlock(keys[2], keys[3], own_at, real if padding.any() else None),
        ],
        ChunkPlan.of(cuts, segments=case.segments, device=device, chunk=case.chunk),
        cuts,
        options,
        projection,
        visible.unsqueeze(1),
    )


def joined(inputs: Inputs) -> tuple[Tensor, Tensor, Segmentation]:
    """The blocks as one, every branch with its own copy of the context."""
    batch = inputs.query.shape[0]
    keys = torch.cat([block.key.expand(batch, -1, -1, -1) for block in inputs.blocks], dim=2)
    values = torch.cat([block.value.expand(batch, -1, -1, -1) for block in inputs.blocks], dim=2)
    context, own = inputs.cuts
    tail = tuple(Piece(p.start + context.length, p.stop + context.length, p.segment) for p in own.pieces)
    return keys, values, Segmentation(context.pieces + tail, context.segments)


def expected(inputs: Inputs, epsilon: Tensor | None) -> Reference:
    keys, values, cut = joined(inputs)
    sinks = inputs.options["sinks"]
    return reference_attention(
        inputs.query.cpu(),
        keys.cpu(),
        values.cpu(),
        segmentation=cut,
        epsilon=torch.zeros(1, 1, 1, 1) if epsilon is None else epsilon.cpu(),
        scaling=inputs.options["scaling"],
        visible=inputs.visible.cpu(),
        soft_cap=inputs.options["soft_cap"],
        sinks=None if sinks is None else sinks.cpu(),
    )


def assert_equal(got: Segmented, inputs: Inputs, epsilon: Tensor | None) -> None:
    """Output, masses, contributions and their norms through W_O itself are the reference's; nothing is NaN."""
    want = expected(inputs, epsilon)
    tolerance = TOLERANCE[inputs.query.dtype]
    torch.testing.assert_close(got.output.cpu().double(), want.output, **tolerance)
    # Masses never meet the dtype of the values; tensor cores add up a little less carefully than float32 does.
    torch.testing.assert_close(got.weights.cpu().double(), want.masses, rtol=1e-4, atol=1e-5)
    assert got.states is not None
    assert got.norms is not None
    contributions = (got.weights.unsqueeze(-1) * got.states.out).cpu().double()
    torch.testing.assert_close(contributions, want.segment_outputs, **tolerance)
    per_head = inputs.projection.cpu().double().view(24, inputs.query.shape[1], -1)
    direct = torch.einsum("mhd,sbhqd->sbhqm", per_head, want.segment_outputs).norm(dim=-1)
    # A norm adds up the errors of head_dim components, each scaled by its row of W_O.
    wider = {name: 10 * value for name, value in tolerance.items()}
    torch.testing.assert_close(got.norms.cpu().double(), direct, **wider)


def flex(inputs: Inputs, epsilon: Tensor, attention) -> Tensor:
    """PyTorch's flex attention with the bias as a change of the score, which shares no code with ours."""
    keys, values, cut = joined(inputs)
    batch, heads, rows, _ = inputs.query.shape
    owner = torch.zeros(keys.shape[2], dtype=torch.long, device=keys.device)
    for piece in cut.pieces:
        owner[piece.start : piece.stop] = piece.segment
    bias = epsilon.to(keys.device).expand(cut.segments, batch, heads, rows).contiguous()
    visible = inputs.visible[:, 0]

    def score(value, b, h, q, k):
        return torch.where(visible[b, q, k], value + bias[owner[k], b, h, q], -INF)

    return attention(
        inputs.query.contiguous(), keys, values, score_mod=score, enable_gqa=True, scale=inputs.options["scaling"]
    )
