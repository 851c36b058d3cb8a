"""The Triton kernels of segmented attention, interpreted, against the float64 reference.

Triton reads TRITON_INTERPRET when it is first imported and when a kernel is decorated, and transformers imports triton.
The interpreter therefore lives in a process of its own, and nothing here depends on what this one has imported.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("triton", reason="there is no triton for this platform")

from tests.unit.segmented_case import INF, SPANS, Case, assert_equal, flex, prepare
from xmguard.attention.head_norms import contribution_norms
from xmguard.attention.segments import Segmentation
from xmguard.attention.split_merge import attend, collect, merge
from xmguard.attention.triton_segments import ChunkPlan, KeyBlock, Segmented, segmented_attention

# bfloat16 is to the interpreter an array of bits, which its matrix product would take for integers; they are the upper
# half of a float32, in which the product of two is exact.
INTERPRET = """
import os
os.environ["TRITON_INTERPRET"] = "1"
import numpy
from triton import language
from triton.runtime import interpreter

def widened(handle):
    if handle.dtype.scalar != language.bfloat16:
        return handle
    return interpreter.TensorHandle((handle.data.astype(numpy.uint32) << 16).view(numpy.float32), language.float32)

def create_dot(builder, left, right, *rest, plain=interpreter.InterpreterBuilder.create_dot):
    return plain(builder, widened(left), widened(right), *rest)

interpreter.InterpreterBuilder.create_dot = create_dot
"""


@pytest.fixture(scope="module")
def interpreted():
    """`segmented_attention` as Triton's interpreter runs it, in a process that set TRITON_INTERPRET before triton."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning, initializer=exec, initargs=(INTERPRET, {})) as pool:
        yield lambda *args, **options: pool.submit(segmented_attention, *args, **options).result()


@pytest.fixture(scope="module")
def check(interpreted):
    def run(case: Case, epsilon: torch.Tensor | None) -> Segmented:
        inputs = prepare(case)
        got = interpreted(inputs.query, inputs.blocks, inputs.plan, epsilon=epsilon, **inputs.options)
        assert_equal(got, inputs, epsilon)
        return got

    return run


@pytest.mark.parametrize("groups", [1, 3, 8])
@pytest.mark.parametrize("head_dim", [16, 64, 80])
def test_heads_that_share_a_key_head_match_the_reference(check, groups, head_dim):
    case = Case(groups=groups, head_dim=head_dim, rows=1, kv_heads=2 if groups < 8 else 1)
    check(case, case.epsilon())


@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS)
@pytest.mark.parametrize("chunk", [5, 256])
def test_every_cut_matches_the_reference(check, spans, chunk):
    case = Case(spans=tuple(spans), chunk=chunk)
    check(case, case.epsilon())


def test_more_segments_than_one_tile_of_the_merge_match_the_reference(check):
    case = Case(spans=tuple((2 * start, 2 * start + 1) for start in range(19)), context=40, rows=1)
    check(case, case.epsilon())


@pytest.mark.parametrize("bias", [-INF, -30.0, -1.5, 0.0, 2.0, 8.0])
def test_every_bias_matches_the_reference(check, bias):
    got = check(Case(), torch.tensor([0.0, bias, 0.5]).view(3, 1, 1, 1))
    assert bias > -INF or (got.weights[1] == 0).all()


def test_no_bias_matches_the_reference(check):
    check(Case(), None)


@pytest.mark.parametrize("dim", [1, 2, 3], ids=["per branch", "per head", "per row"])
def test_a_bias_that_differs_along_one_dimension_matches_the_reference(check, dim):
    case = Case(rows=3, padding=(0, 1))
    whole = case.epsilon()
    shape = [case.segments, 1, 1, 1]
    shape[dim] = whole.shape[dim]
    bias = whole[tuple(slice(0, size) for size in shape)].clone()
    bias.view(case.segments, -1)[2, -1] = -INF
    check(case, bias)


def test_removing_every_span_leaves_the_rest(check):
    got = check(Case(), torch.tensor([0.0, -INF, -INF]).view(3, 1, 1, 1))
    torch.testing.assert_close(got.weights[0], torch.ones_like(got.weights[0]))


@pytest.mark.parametrize("sinks", [False, True])
def test_rows_left_with_nothing_are_zero_and_not_nan(check, sinks):
    got = check(Case(sinks=sinks), torch.full((3, 1, 1, 1), -INF))
    assert (got.output == 0).all()
    assert (got.weights == 0).all()


def test_rows_that_see_no_key_are_zero_and_not_nan(interpreted):
    """One branch is all padding, and no other block is there for it to read."""
    inputs = prepare(Case())
    block = inputs.blocks[1]
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[1] = False
    plan = ChunkPlan.of(inputs.cuts[1:], segments=2, device="cpu")
    blocks = [replace(block, key_mask=mask)]
    got = interpreted(inputs.query, blocks, plan, epsilon=torch.full((2, 1, 1, 1), 8.0), **inputs.options)
    assert (got.output[1] == 0).all()
    assert (got.weights[:, 1] == 0).all()
    assert (got.norms[:, 1] == 0).all()
    assert (got.states.lse[:, 1] == -INF).all()
    assert got.output[0].abs().max() > 0
    assert all(tensor.isfinite().all() for tensor in (got.output, got.weights, got.norms, got.states.out))


@pytest.mark.parametrize("window", [None, 9], ids=["full", "window ends inside a span"])
@pytest.mark.parametrize("soft_cap", [None, 1.5])
@pytest.mark.parametrize("sinks", [False, True])
def test_window_soft_cap_and_sinks_match_the_reference(check, window, soft_cap, sinks):
    case = Case(window=window, soft_cap=soft_cap, sinks=sinks)
    check(case, case.epsilon())


@pytest.mark.parametrize(("rows", "window"), [(16, None), (33, 11), (70, None)])
def test_causal_tails_match_the_reference(check, rows, window):
    """Of several tiles of rows, with chunks that none, only the first or only the last rows of a tile see."""
    case = Case(rows=rows, own=rows + 3, kv_heads=1, groups=1, padding=(0, 3), window=window, chunk=7)
    check(case, case.epsilon())


def test_chunks_of_several_tiles_of_keys_match_the_reference(check):
    case = Case(spans=((5, 100),), context=120, rows=1, kv_heads=1, chunk=256)
    check(case, case.epsilon())


def test_chunks_that_no_row_sees_are_not_read(interpreted):
    """They would poison everything: a weight of 0 times NaN is NaN."""
    inputs = prepare(Case(window=9))
    context = inputs.blocks[0]
    unread = [
        torch.cat([tensor[:, :, :3] * torch.nan, tensor[:, :, 3:]], dim=2) for tensor in (context.key, context.value)
    ]
    blocks = [replace(context, key=unread[0], value=unread[1]), inputs.blocks[1]]
    got = interpreted(inputs.query, blocks, inputs.plan, epsilon=Case().epsilon(), **inputs.options)
    assert_equal(got, inputs, Case().epsilon())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_matches_the_reference(check, dtype):
    case = Case(dtype=dtype, head_dim=64)
    assert check(case, case.epsilon()).output.dtype == dtype


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_shapes_and_options_match_the_reference(check, data):
    draw = data.draw
    context = draw(st.integers(1, 40))
    borders = sorted(draw(st.lists(st.integers(0, context), max_size=6)))
    spans = tuple(pairwise(borders)) if draw(st.booleans()) else tuple(zip(borders[::2], borders[1::2], strict=False))
    own = draw(st.integers(1, 12))
    rows = draw(st.integers(1, min(own, 3)))
    case = Case(
        spans=spans,
        context=context,
        own=own,
        padding=tuple(draw(st.lists(st.integers(0, own - rows), min_size=1, max_size=3))),
        rows=rows,
        kv_heads=draw(st.integers(1, 2)),
        groups=draw(st.integers(1, 3)),
        head_dim=draw(st.sampled_from([16, 24, 32])),
        window=draw(st.none() | st.integers(1, 30)),
        soft_cap=draw(st.none() | st.floats(0.5, 20)),
        sinks=draw(st.booleans()),
        chunk=draw(st.integers(1, 20)),
        seed=draw(st.integers(0, 1000)),
    )
    bias = case.epsilon()
    bias.view(case.segments, -1)[draw(st.integers(0, case.segments - 1))] = draw(st.sampled_from([-INF, -3.0, 8.0]))
    check(case, bias)


def test_it_equals_split_merge_and_head_norms(interpreted):
    case = Case(rows=3, padding=(0, 1))
    inputs = prepare(case)
    options = {name: inputs.options[name] for name in ("scaling", "query_positions")}
    epsilon = case.epsilon()
    context, own = inputs.blocks
    partials = attend(inputs.query, context.key, context.value, segmentation=inputs.cuts[0], scaling=options["scaling"])
    partials += attend(
        inputs.query,
        own.key,
        own.value,
        segmentation=inputs.cuts[1],
        key_positions=own.key_positions,
        key_mask=own.key_mask,
        **options,
    )
    states = collect(partials, 3, like=inputs.query)
    merged = merge(states, epsilon)
    norms = contribution_norms(states.out, merged.weights, inputs.options["factors"])
    got = interpreted(inputs.query, inputs.blocks, inputs.plan, epsilon=epsilon, **inputs.options)
    want = (merged.output, merged.weights, norms, states.out, states.lse)
    for mine, theirs in zip((got.output, got.weights, got.norms, got.states.out, got.states.lse), want, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-5, atol=2e-5)


def test_dropping_the_bias_would_be_noticed(interpreted):
    """The parity above must fail without it: the output moves far beyond the tolerance."""
    inputs = prepare(Case())
    unbiased = interpreted(inputs.query, inputs.blocks, inputs.plan, epsilon=None, **inputs.options)
    with pytest.raises(AssertionError, match="not close"):
        assert_equal(unbiased, inputs, Case().epsilon())


def test_slices_of_a_cache_are_read_where_they_lie(interpreted):
    inputs = prepare(Case())
    keys = torch.full((1, 30, 2, 2, 16), torch.nan)  # [batch, key, layer, head, head_dim]
    values = torch.full((1, 2, 16, 40), torch.nan)  # [batch, head, head_dim, key]
    context = inputs.blocks[0]
    keys[:, 4:25, 1] = context.key.transpose(1, 2)
    values[..., 7:28] = context.value.transpose(2, 3)
    sliced = KeyBlock(keys[:, 4:25, 1].transpose(1, 2), values[..., 7:28].transpose(2, 3))
    query = inputs.query.transpose(1, 2).contiguous().transpose(1, 2)
    got = interpreted(query, [sliced, inputs.blocks[1]], inputs.plan, epsilon=Case().epsilon(), **inputs.options)
    assert_equal(got, inputs, Case().epsilon())


def test_one_plan_serves_a_suffix_that_grows(interpreted):
    inputs = prepare(Case())
    cuts = [inputs.cuts[0], Segmentation.from_spans([], 50)]
    plan = ChunkPlan.of(cuts, segments=3, device="cpu", chunk=8, growing=True)
    got = interpreted(inputs.query, inputs.blocks, plan, epsilon=Case().epsilon(), **inputs.options)
    assert_equal(got, inputs, Case().epsilon())


def test_what_was_not_asked_for_is_not_there(interpreted):
    inputs = prepare(Case(rows=1, padding=(0, 0)))
    blocks = [KeyBlock(block.key, block.value) for block in inputs.blocks]
    got = interpreted(inputs.query, blocks, inputs.plan, scaling=0.25)
    assert got.norms is None
    assert got.states is None
    assert got.output.transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("spans", SPANS.values(), ids=SPANS)
def test_chunks_cover_every_key_once_and_cross_no_border(spans):
    cuts = [Segmentation.from_spans(spans, 21), Segmentation.from_spans([], 9)]
    plan = ChunkPlan.of(cuts, segments=5, device="cpu", chunk=4)
    chunks = plan.chunks.tolist()
    assert sorted(slot for _, _, slot in chunks) == list(range(len(chunks)))
    for block, cut in enumerate(cuts):
        mine = chunks[sum(plan.counts[:block]) :][: plan.counts[block]]
        assert [key for start, stop, _ in mine for key in range(start, stop)] == list(range(cut.length))
        for start, stop, slot in mine:
            assert 0 < stop - start <= 4
            assert any(p.start <= start and stop <= p.stop and p.segment == plan.owners[slot] for p in cut.pieces)
    bounds = plan.offsets.tolist()
    assert [plan.owners.tolist().count(segment) for segment in range(5)] == [b - a for a, b in pairwise(bounds)]


def changed(**changes):
    return lambda inputs: replace(inputs, **{name: change(inputs) for name, change in changes.items()})


REFUSALS = {
    "the plan covers 4 keys, the block has 3": changed(
        blocks=lambda i: [
            i.blocks[0],
            KeyBlock(i.blocks[1].key[:, :, :3], i.blocks[1].value[:, :, :3], i.blocks[1].key_positions[:, :3]),
        ]
    ),
    "1 blocks of keys were given, the plan cuts 2": changed(blocks=lambda i: i.blocks[:1]),
    "queries are torch.float64": changed(query=lambda i: i.query.double()),
    "keys and values are not torch.float16": changed(query=lambda i: i.query.half()),
    "one head_dim": changed(query=lambda i: i.query[..., :8]),
    "do not fit the queries'": changed(query=lambda i: i.query[:, :3]),
    "key_positions need query_positions": changed(options=lambda i: i.options | {"query_positions": None}),
    "block 0: a window needs key_positions": changed(options=lambda i: i.options | {"window": 4}),
    "no block has key_positions": changed(blocks=lambda i: [KeyBlock(block.key, block.value) for block in i.blocks]),
    "block 0: key_mask differs by row of the batch": changed(
        blocks=lambda i: [replace(i.blocks[0], key_mask=torch.ones(2, 21, dtype=torch.bool)), i.blocks[1]]
    ),
    "block 0: key_mask must be contiguous along 21 keys": changed(
        blocks=lambda i: [replace(i.blocks[0], key_mask=torch.ones(1, 20, dtype=torch.bool)), i.blocks[1]]
    ),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_does_not_fit_is_refused(message):
    inputs = REFUSALS[message](prepare(Case()))
    with pytest.raises(ValueError, match=message):
        segmented_attention(inputs.query, inputs.blocks, inputs.plan, **inputs.options)


def test_a_plan_needs_blocks_and_enough_segments():
    with pytest.raises(ValueError, match="no block of keys"):
        ChunkPlan.of([], segments=1, device="cpu")
    with pytest.raises(ValueError, match="a cut has 3 segments, the plan 2"):
        ChunkPlan.of([Segmentation.from_spans([(0, 1), (2, 3)], 4)], segments=2, device="cpu")


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_agrees(interpreted):
    from torch.nn.attention.flex_attention import flex_attention

    case = Case(rows=4, padding=(0, 0))
    inputs = prepare(case)
    got = interpreted(inputs.query, inputs.blocks, inputs.plan, epsilon=case.epsilon(), **inputs.options)
    want = flex(inputs, case.epsilon(), flex_attention)
    torch.testing.assert_close(got.output, want, rtol=2e-5, atol=1e-5)
