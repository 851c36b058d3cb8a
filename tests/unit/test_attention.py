"""The identities of segmented attention, against the float64 reference."""

import math

import pytest
import torch

from xmguard.attention.head_norms import contribution_norms, norm_factors
from xmguard.attention.reference import reference_attention
from xmguard.attention.segments import Segmentation
from xmguard.attention.split_merge import attend, collect, merge

HEADS, KV_HEADS, DIM = 6, 2, 16
SPANS = [
    [(2, 7), (9, 15)],
    [(0, 1), (1, 2), (2, 19)],  # adjacent, single-token, from the first key to the last
    [(3, 3), (4, 9)],  # an empty span
    [],
]


def tensors(batch=3, rows=5, keys=19, scale=2.0, key_batch=None, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return (torch.randn(*shape, generator=generator) * scale).to(dtype)

    kb = key_batch or batch
    return normal(batch, HEADS, rows, DIM), normal(kb, KV_HEADS, keys, DIM), normal(kb, KV_HEADS, keys, DIM)


def positions(rows, keys):
    """The last `rows` positions of `keys` read causally."""
    return torch.arange(keys - rows, keys), torch.arange(keys)


def run(query, key, value, cut, epsilon=None, sinks=None, **options):
    partials = attend(query, key, value, segmentation=cut, scaling=DIM**-0.5, **options)
    states = collect(partials, cut.segments, like=query)
    return states, merge(states, epsilon, sinks)


def expected(query, key, value, cut, epsilon, visible=None, **options):
    batch = query.shape[0]
    if visible is None:
        visible = torch.ones(1, 1, query.shape[2], key.shape[2], dtype=torch.bool)
    return reference_attention(
        query,
        key.expand(batch, -1, -1, -1),
        value.expand(batch, -1, -1, -1),
        segmentation=cut,
        epsilon=epsilon,
        scaling=DIM**-0.5,
        visible=visible,
        **options,
    )


def random_epsilon(cut, batch, seed=1):
    epsilon = torch.randn(cut.segments, batch, 1, 1, generator=torch.Generator().manual_seed(seed)) * 3
    epsilon[0] = 0.0
    return epsilon


@pytest.mark.parametrize("spans", SPANS)
@pytest.mark.parametrize("key_batch", [3, 1], ids=["own keys", "shared keys"])
@pytest.mark.parametrize("tile", [1 << 23, 200], ids=["one tile", "many tiles"])
def test_output_and_masses_match_the_reference_under_a_bias(spans, key_batch, tile):
    query, key, value = tensors(key_batch=key_batch)
    cut = Segmentation.from_spans(spans, 19)
    at, keys = positions(5, 19)
    epsilon = random_epsilon(cut, 3)
    states, merged = run(query, key, value, cut, epsilon, query_positions=at, key_positions=keys, tile_elements=tile)
    visible = (keys[None] <= at[:, None]).view(1, 1, 5, 19)
    want = expected(query, key, value, cut, epsilon, visible)
    torch.testing.assert_close(merged.output.double(), want.output, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(merged.weights.double(), want.masses, rtol=1e-5, atol=1e-6)
    contributions = merged.weights.unsqueeze(-1) * states.out
    torch.testing.assert_close(contributions.double(), want.segment_outputs, rtol=1e-5, atol=1e-5)


def test_the_bias_matters_to_the_comparison():
    """Dropping the bias must fail the parity above: it moves the output far beyond its tolerance."""
    query, key, value = tensors()
    cut = Segmentation.from_spans(SPANS[0], 19)
    _, merged = run(query, key, value, cut)
    want = expected(query, key, value, cut, random_epsilon(cut, 3))
    assert (merged.output.double() - want.output).abs().max() > 0.1


def test_without_bias_it_is_plain_attention():
    query, key, value = tensors()
    _, merged = run(query, key, value, Segmentation.from_spans(SPANS[0], 19))
    plain = torch.nn.functional.scaled_dot_product_attention(
        query, key.repeat_interleave(3, 1), value.repeat_interleave(3, 1)
    )
    torch.testing.assert_close(merged.output, plain, rtol=1e-5, atol=1e-5)


def test_a_bias_on_every_key_changes_nothing():
    query, key, value = tensors()
    cut = Segmentation.from_spans(SPANS[0], 19)
    _, plain = run(query, key, value, cut)
    _, lifted = run(query, key, value, cut, torch.full((cut.segments, 1, 1, 1), 2.5))
    torch.testing.assert_close(lifted.output, plain.output, rtol=1e-5, atol=1e-6)


def test_eps_twice_half_is_once_whole():
    query, key, value = tensors()
    cut = Segmentation.from_spans(SPANS[0], 19)
    epsilon = random_epsilon(cut, 3)
    states, once = run(query, key, value, cut, epsilon)
    halved = type(states)(states.out, states.lse + epsilon / 2)
    torch.testing.assert_close(merge(halved, epsilon / 2).output, once.output, rtol=1e-5, atol=1e-6)


def test_a_large_negative_bias_on_a_dominant_span_does_not_cancel():
    """The span holds nearly all of the mass; the shortcut Z o - Z_k o_k would lose every digit here."""
    query, key, value = tensors(scale=1.0)
    key[:, :, 2:7] = 0.0
    key[:, :, 2:7] += 8 * query.view(3, KV_HEADS, 3, 5, DIM).mean(dim=(2, 3)).unsqueeze(2)
    cut = Segmentation.from_spans(SPANS[0], 19)
    epsilon = torch.tensor([0.0, -30.0, 0.0]).view(3, 1, 1, 1)
    _, merged = run(query, key, value, cut, epsilon)
    want = expected(query, key, value, cut, epsilon)
    torch.testing.assert_close(merged.output.double(), want.output, rtol=1e-5, atol=1e-5)


def test_minus_infinity_removes_the_span():
    query, key, value = tensors()
    cut = Segmentation.from_spans(SPANS[0], 19)
    epsilon = torch.tensor([0.0, -math.inf, 0.0]).view(3, 1, 1, 1)
    _, merged = run(query, key, value, cut, epsilon)
    kept = [j for j in range(19) if not 2 <= j < 7]
    plain = torch.nn.functional.scaled_dot_product_attention(
        query, key[:, :, kept].repeat_interleave(3, 1), value[:, :, kept].repeat_interleave(3, 1)
    )
    torch.testing.assert_close(merged.output, plain, rtol=1e-5, atol=1e-5)
    assert (merged.weights[1] == 0).all()


def test_a_row_that_sees_nothing_is_zero_and_not_nan():
    query, key, value = tensors()
    cut = Segmentation.from_spans(SPANS[0], 19)
    states, merged = run(query, key, value, cut, torch.full((cut.segments, 1, 1, 1), -math.inf))
    assert (merged.output == 0).all()
    assert (merged.weights == 0).all()
    assert states.lse.isfinite().all()


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("soft_cap", [None, 1.5])
@pytest.mark.parametrize("sinks", [False, True])
def test_window_soft_cap_and_sinks(window, soft_cap, sinks):
    query, key, value = tensors(rows=12)
    cut = Segmentation.from_spans(SPANS[0], 19)
    at, keys = positions(12, 19)
    epsilon = random_epsilon(cut, 3)
    logits = torch.linspace(-1, 4, HEADS) if sinks else None
    _, merged = run(
        query,
        key,
        value,
        cut,
        epsilon,
        logits,
        query_positions=at,
        key_positions=keys,
        window=window,
        soft_cap=soft_cap,
    )
    visible = keys[None] <= at[:, None]
    if window is not None:
        visible &= keys[None] > at[:, None] - window
    want = expected(query, key, value, cut, epsilon, visible.view(1, 1, 12, 19), soft_cap=soft_cap, sinks=logits)
    torch.testing.assert_close(merged.output.double(), want.output, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(merged.weights.double(), want.masses, rtol=1e-5, atol=1e-6)


def test_the_cap_comes_before_the_bias():
    query, key, value = tensors()
    cut = Segmentation.from_spans(SPANS[0], 19)
    epsilon = torch.tensor([0.0, 5.0, 0.0]).view(3, 1, 1, 1)
    states, merged = run(query, key, value, cut, epsilon, soft_cap=1.0)
    lifted = merged.weights[1] / merged.weights[0]
    plain = merge(states).weights[1] / merge(states).weights[0]
    torch.testing.assert_close(lifted, plain * math.exp(5.0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_never_read(side):
    query, key, value = tensors()
    mask = torch.ones(3, 19, dtype=torch.bool)
    for row, pad in enumerate([0, 3, 8]):
        mask[row, slice(0, pad) if side == "left" else slice(19 - pad, 19)] = False
    value = value.masked_fill(~mask[:, None, :, None], 1e6)
    cut = Segmentation.from_spans(SPANS[0], 19)
    epsilon = random_epsilon(cut, 3)
    _, merged = run(query, key, value, cut, epsilon, key_mask=mask)
    want = expected(query, key, value, cut, epsilon, mask.view(3, 1, 1, 19).expand(3, 1, 5, 19))
    torch.testing.assert_close(merged.output.double(), want.output, rtol=1e-5, atol=1e-5)


def test_blocks_of_keys_join_exactly():
    """A shared context and a branch's own suffix give what one block of all keys gives."""
    query, key, value = tensors(key_batch=1)
    _, own_key, own_value = tensors(keys=4, seed=7)
    cut, tail = Segmentation.from_spans(SPANS[0], 19), Segmentation.from_spans([], 4)
    scaling = DIM**-0.5
    partials = attend(query, key, value, segmentation=cut, scaling=scaling)
    partials += attend(query, own_key, own_value, segmentation=tail, scaling=scaling)
    merged = merge(collect(partials, cut.segments, like=query))
    keys = torch.cat([key.expand(3, -1, -1, -1), own_key], dim=2).repeat_interleave(3, 1)
    values = torch.cat([value.expand(3, -1, -1, -1), own_value], dim=2).repeat_interleave(3, 1)
    plain = torch.nn.functional.scaled_dot_product_attention(query, keys, values)
    torch.testing.assert_close(merged.output, plain, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_computed_in_float32():
    query, key, value = tensors(dtype=torch.bfloat16)
    cut = Segmentation.from_spans(SPANS[0], 19)
    epsilon = random_epsilon(cut, 3)
    _, merged = run(query, key, value, cut, epsilon)
    assert merged.output.dtype == torch.float32
    want = expected(query, key, value, cut, epsilon)
    torch.testing.assert_close(merged.output.double(), want.output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d_model", [96, 8], ids=["d_model > head_dim", "d_model < head_dim"])
def test_head_norms_equal_the_norms_through_the_output_projection(d_model):
    query, key, value = tensors()
    cut = Segmentation.from_spans(SPANS[0], 19)
    states, merged = run(query, key, value, cut, random_epsilon(cut, 3))
    weight = torch.randn(d_model, HEADS * DIM, generator=torch.Generator().manual_seed(3))
    norms = contribution_norms(states.out, merged.weights, norm_factors(weight, HEADS))
    per_head = weight.view(d_model, HEADS, DIM)
    direct = torch.einsum("mhd,sbhqd->sbhqm", per_head, merged.weights.unsqueeze(-1) * states.out)
    torch.testing.assert_close(norms, direct.norm(dim=-1), rtol=1e-4, atol=1e-5)


def test_contributions_sum_to_the_output_projection():
    query, key, value = tensors()
    cut = Segmentation.from_spans(SPANS[0], 19)
    states, merged = run(query, key, value, cut, random_epsilon(cut, 3))
    projection = torch.nn.Linear(HEADS * DIM, 32)
    per_head = projection.weight.view(32, HEADS, DIM)
    total = torch.einsum("mhd,sbhqd->bqm", per_head, merged.weights.unsqueeze(-1) * states.out) + projection.bias
    flat = merged.output.transpose(1, 2).reshape(3, 5, -1)
    torch.testing.assert_close(total, projection(flat), rtol=1e-4, atol=1e-4)


def test_shifting_all_logits_changes_no_weight():
    query, key, value = tensors()
    cut = Segmentation.from_spans(SPANS[0], 19)
    states, merged = run(query, key, value, cut, random_epsilon(cut, 3))
    shifted = type(states)(states.out, states.lse + 123.0)
    torch.testing.assert_close(merge(shifted, random_epsilon(cut, 3)).weights, merged.weights, rtol=1e-4, atol=1e-6)


def test_nothing_of_size_query_by_key_is_kept():
    """Rows are tiled: with a small tile the largest tensor made is far below query x key."""
    query, key, value = tensors(batch=1, rows=256, keys=512)
    biggest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal biggest
            result = func(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, (tuple, list)) else [result]:
                if isinstance(tensor, torch.Tensor):
                    biggest = max(biggest, tensor.numel())
            return result

    with Watch():
        run(query, key, value, Segmentation.from_spans([(10, 200)], 512), tile_elements=HEADS * 512 * 4)
    assert biggest < HEADS * 256 * 512 / 8


@pytest.mark.parametrize("spans", [[(5, 3)], [(0, 4), (3, 6)], [(0, 20)]])
def test_a_broken_cut_is_refused(spans):
    with pytest.raises(ValueError, match="out of order, overlaps or leaves"):
        Segmentation.from_spans(spans, 19)


def test_positions_come_in_pairs_and_a_window_needs_them():
    query, key, value = tensors()
    cut = Segmentation.from_spans([], 19)
    with pytest.raises(ValueError, match="together"):
        attend(query, key, value, segmentation=cut, scaling=1.0, query_positions=torch.arange(5))
    with pytest.raises(ValueError, match="window needs positions"):
        attend(query, key, value, segmentation=cut, scaling=1.0, window=3)


def test_a_cut_that_does_not_fit_the_keys_is_refused():
    query, key, value = tensors()
    with pytest.raises(ValueError, match="covers 18 keys, the block has 19"):
        attend(query, key, value, segmentation=Segmentation.from_spans([], 18), scaling=1.0)


def test_truncation_keeps_the_cut():
    cut = Segmentation.from_spans(SPANS[0], 19).truncated(10)
    assert [(p.start, p.stop, p.segment) for p in cut.pieces] == [(0, 2, 0), (2, 7, 1), (7, 9, 0), (9, 10, 2)]
    assert cut.segments == 3
