"""Two blocks of keys through the flash kernel, epsilon as a mask, against the float64 reference."""

import pytest
import torch

from xmguard.attention.flash import flash, merge_two, shared_mask, unseen, usable
from xmguard.attention.reference import reference_attention
from xmguard.attention.segments import Piece, Segmentation

CONTEXT, OWN, HEADS, KV_HEADS, HEAD_DIM = 23, 5, 6, 2, 16
CUT = Segmentation.from_spans([(2, 9), (9, 9), (10, 20)], CONTEXT)
SEGMENTS = 4
SEGMENT_OF_KEY = torch.tensor([0] * 2 + [1] * 7 + [0] + [3] * 10 + [0] * 3)

EPSILONS = {
    "none": [[0.0, 0.0, 0.0, 0.0]] * 3,
    "lifted and lowered": [[0.0, 2.0, 0.0, -3.0], [0.0, 0.0, 0.0, 8.0], [0.0, 0.0, 0.0, 0.0]],
    "removed": [[0.0, -torch.inf, 0.0, 1.0], [0.0, 0.0, 0.0, -torch.inf], [0.0, -torch.inf, 0.0, -torch.inf]],
    "the whole block removed": [[-torch.inf] * 4, [0.0] * 4, [0.0, 1.0, 0.0, 0.0]],
}


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def read(query, context, own, epsilon, sinks=None, own_mask=None):
    """As the engine reads: a shared block under epsilon, and a block of each row's own."""
    rows = query.shape[2]
    mask = shared_mask(epsilon, SEGMENT_OF_KEY, KV_HEADS, HEADS, rows)
    out, lse = flash(query, *context, scaling=0.3, mask=mask)
    gone = unseen(epsilon, torch.tensor([0, 1, 3]))
    if gone is not None:
        lse = lse.masked_fill(gone.unsqueeze(-1), -torch.inf)
    return merge_two((out, lse), flash(query, *own, scaling=0.3, mask=own_mask), sinks)


@pytest.mark.parametrize("per_head", [False, True], ids=["by batch row", "by head"])
@pytest.mark.parametrize("epsilon", EPSILONS.values(), ids=EPSILONS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("sinks", [None, torch.linspace(-1, 2, HEADS)], ids=["no sinks", "sinks"])
def test_two_blocks_under_a_bias_equal_the_reference(batch, rows, epsilon, per_head, sinks):
    query = 2 * draw(batch, HEADS, rows, HEAD_DIM, seed=1)
    context = [draw(1, KV_HEADS, CONTEXT, HEAD_DIM, seed=seed) for seed in (2, 3)]
    own = [draw(batch, KV_HEADS, OWN, HEAD_DIM, seed=seed) for seed in (4, 5)]
    nats = torch.tensor(epsilon[:batch]).T.unsqueeze(-1)  # [segment, batch, 1]
    if per_head:
        factors = torch.arange(HEADS) / (HEADS - 1)
        nats = torch.where(factors > 0, nats * factors, 0.0)
    got = read(query, context, own, nats, sinks)

    key, value = (torch.cat([c.expand(batch, -1, -1, -1), o], dim=2) for c, o in zip(context, own, strict=True))
    # The rest of the context carries its own epsilon here; a branch's keys never do.
    bias = torch.zeros(SEGMENTS + 1, batch, HEADS, rows)
    bias[:SEGMENTS] = nats.unsqueeze(-1)
    pieces = Segmentation((*CUT.pieces, Piece(CONTEXT, CONTEXT + OWN, SEGMENTS)), SEGMENTS + 1)
    want = reference_attention(
        query,
        key,
        value,
        segmentation=pieces,
        epsilon=bias,
        scaling=0.3,
        visible=torch.ones(1, 1, 1, 1, dtype=torch.bool),
        sinks=sinks,
    )
    torch.testing.assert_close(got.double(), want.output, rtol=1e-5, atol=1e-5)


def test_a_bias_that_is_dropped_is_seen():
    query = draw(3, HEADS, 1, HEAD_DIM, seed=1)
    context = [draw(1, KV_HEADS, CONTEXT, HEAD_DIM, seed=seed) for seed in (2, 3)]
    own = [draw(3, KV_HEADS, OWN, HEAD_DIM, seed=seed) for seed in (4, 5)]
    lifted = torch.tensor(EPSILONS["lifted and lowered"]).T.unsqueeze(-1)
    difference = (read(query, context, own, lifted) - read(query, context, own, torch.zeros_like(lifted))).abs()
    assert difference[:2].amax() > 0.05
    assert difference[2].amax() == 0.0


def test_a_mask_hides_padding_of_a_branchs_own_keys():
    query = draw(2, HEADS, 1, HEAD_DIM, seed=1)
    context = [draw(1, KV_HEADS, CONTEXT, HEAD_DIM, seed=seed) for seed in (2, 3)]
    own = [draw(2, KV_HEADS, OWN, HEAD_DIM, seed=seed) for seed in (4, 5)]
    zero = torch.zeros(SEGMENTS, 2, 1)
    mask = torch.zeros(2, 1, 1, OWN)
    mask[1, ..., :2] = -torch.inf
    got = read(query, context, own, zero, own_mask=mask)
    shorter = read(query[1:], context, [block[1:, :, 2:] for block in own], zero[:, :1])
    torch.testing.assert_close(got[1:], shorter)


def test_no_epsilon_is_no_mask():
    assert shared_mask(torch.zeros(SEGMENTS, 3, 1), SEGMENT_OF_KEY, KV_HEADS, HEADS, 1) is None


@pytest.mark.parametrize(("dtype", "takes"), [(torch.float32, True), (torch.bfloat16, True), (torch.float64, False)])
def test_the_kernel_takes_these(dtype, takes):
    assert usable(torch.ones(1, dtype=dtype)) is takes
