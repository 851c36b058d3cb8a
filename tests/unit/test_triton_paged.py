"""Segmented attention over a paged cache, its kernels interpreted, against the float64 reference.

Interpreted in a process of its own, for the reasons that `test_triton_segments` gives. No GPU is proven by it.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
import torch

pytest.importorskip("triton", reason="there is no triton for this platform")

from tests.unit.paged_case import UNTOUCHED, PagedCase, Request, assert_equal, prepare, reads, run
from tests.unit.test_triton_segments import INTERPRET
from xmguard.attention.slot_tables import LAST, Rule
from xmguard.attention.triton_paged import check_fits, key_value_bytes, split_count, tile_sizes

INF = torch.inf
DECODED = reads((2, 9), (9, 12), (14, 14), epsilon=(2.0, -1.0, 1.0), reader=20)
"""Borders inside pages, adjacent spans, one that is empty."""
RAGGED = PagedCase(
    requests=(
        Request(29, reading=DECODED),
        Request(7),
        Request(41, reading=reads((0, 37), epsilon=(-INF,), reader=40)),
        Request(13, reading=reads((12, 13), epsilon=(3.0,), reader=4)),
    ),
    padding=1,
    kv_heads=1,
)
TAIL = PagedCase(
    requests=(
        Request(33, 11, reads((3, 8), (8, 21), epsilon=(1.5, -2.0), reader=24)),
        Request(5),
        Request(30, 9, reads((2, 3), (5, 9), (9, 18), epsilon=(4.0, 0.0, -INF), reader=21)),
        Request(12, 12),
        Request(18, reading=reads((1, 16), epsilon=(-1.0,), reader=17)),
    ),
    kv_heads=1,
)
"""Tails of several tiles among decoded tokens and strangers; 16 rows of 2 heads are 8 queries."""


def counting(case):
    """The bytes that the kernels read of the cache, and how many elements of it they read at least once."""
    import numpy
    from triton.runtime.interpreter import InterpreterBuilder

    inputs = prepare(case)
    cache = inputs.arguments[1].untyped_storage()
    begin, end = cache.data_ptr(), cache.data_ptr() + cache.nbytes()
    seen = []
    plain = InterpreterBuilder.create_masked_load

    def load(builder, ptrs, mask, *rest):
        read = ptrs.data[mask.data]
        seen.append(read[(read >= begin) & (read < end)])
        return plain(builder, ptrs, mask, *rest)

    InterpreterBuilder.create_masked_load = load
    try:
        from xmguard.attention.triton_paged import paged_attention

        paged_attention(*inputs.arguments, **inputs.options)
    finally:
        InterpreterBuilder.create_masked_load = plain
    places = numpy.concatenate(seen)
    size = inputs.arguments[1].element_size()
    return places.size * size, numpy.unique(places).size * size


@pytest.fixture(scope="module")
def interpreting():
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning, initializer=exec, initargs=(INTERPRET, {})) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


@pytest.fixture(scope="module")
def check(interpreting):
    def run_and_compare(case: PagedCase):
        got = interpreting(run, case)
        assert_equal(got, prepare(case))
        return got

    return run_and_compare


@pytest.mark.parametrize(("page_keys", "heads_first"), [(4, False), (32, True)], ids=["key by key", "head by head"])
def test_decoded_tokens_of_a_ragged_batch_match_the_reference(check, page_keys, heads_first):
    output, _ = check(replace(RAGGED, kv_heads=2, page_keys=page_keys, heads_first=heads_first))
    assert (output[1] == UNTOUCHED).all()


@pytest.mark.parametrize("groups", [1, 3])
def test_tails_of_several_tiles_match_the_reference(check, groups):
    check(replace(TAIL, groups=groups))


@pytest.mark.parametrize("case", [RAGGED, TAIL], ids=["decoded", "tails"])
@pytest.mark.parametrize(
    "oddities",
    [{"window": 11}, {"window": 17, "soft_cap": 1.5, "sinks": True}],
    ids=["window ends inside a span", "soft cap and sinks too"],
)
def test_window_soft_cap_and_sinks_match_the_reference(check, case, oddities):
    check(replace(case, **oddities))


@pytest.mark.parametrize("queries", [1, 3], ids=["decoded", "tail"])
@pytest.mark.parametrize("oddities", [{}, {"sinks": True, "window": 20}], ids=["plain", "window and sinks"])
@pytest.mark.parametrize(
    "rule",
    [
        {"rule": Rule.TARGET, "shares": (0.4, 0.0, 0.1)},
        {"rule": Rule.FLOOR, "shares": (1.0, 0.5, 0.5), "rule_value": 1.2},
        {"rule": Rule.SOFTEN, "rule_value": 3.0},
    ],
    ids=lambda rule: rule["rule"].name,
)
def test_share_rules_are_solved_for_every_row(check, queries, oddities, rule):
    factors = torch.tensor([[1.0, 1.0], [1.0, 0.5]])
    reading = reads((2, 9), (9, 12), (14, 20), epsilon=(0.5, 0.0, -INF), reader=26, head_factors=factors, **rule)
    late = replace(reading, first_reader=(26, 28, 29))
    check(PagedCase(requests=(Request(29, queries, reading), Request(30, queries, late)), kv_heads=1, **oddities))


@pytest.mark.parametrize("queries", [1, 3], ids=["decoded", "tail"])
def test_heads_are_steered_by_their_factors(check, queries):
    factors = torch.tensor([[9.0, 9.0, 9.0, 9.0], [1.0, 0.5, 0.0, 0.25]])
    reading = reads((3, 9), (9, 17), epsilon=(2.0, -INF), reader=20, head_factors=factors)
    check(PagedCase(requests=(Request(23, queries, reading),), spans=2))


def test_a_chunk_that_ends_the_unserved_part_writes_and_sums_only_what_follows(check):
    """Rows before the readers are the engine's own, rows between them and the measured ones are served unmeasured."""
    reading = reads((2, 5), epsilon=(2.0,), reader=14, measured_from=17, prompt_tokens=19)
    output, sums = check(PagedCase(requests=(Request(21, 12, reading),), kv_heads=1))
    assert (output[:5] == UNTOUCHED).all()
    assert sums[1, 0].abs().sum() > 0
    assert sums[1, 1].abs().sum() > 0


def test_rows_that_were_summed_before_are_not_summed_again(check):
    """A request that was put off runs its rows again."""
    reading = reads((2, 5), epsilon=(2.0,), reader=14)
    _, sums = check(PagedCase(requests=(Request(21, 4, reading, count_from=LAST), Request(20, 1, reading, LAST))))
    assert (sums == 0).all()


def test_rows_that_read_a_span_from_different_positions_on_match_the_reference(check):
    reading = replace(reads((2, 5), (6, 12), epsilon=(2.0, -3.0), reader=12), first_reader=(5, 16))
    check(PagedCase(requests=(Request(20, 7, reading), Request(15, 1, reading))))


def test_measuring_alone_leaves_the_output_the_plain_one(check):
    reading = reads((2, 5), (6, 12), epsilon=(0.0, 0.0), reader=12)
    case = PagedCase(requests=(Request(20, 3, reading), Request(15, 1, reading)), kv_heads=1)
    assert_equal(check(case), prepare(case), biased=False)


def test_a_request_without_spans_is_read_whole(check):
    check(
        PagedCase(requests=(Request(20, 1, reads(epsilon=(), reader=3)), Request(20, 4, reads(epsilon=(), reader=3))))
    )


@pytest.mark.parametrize("queries", [1, 2], ids=["decoded", "tail"])
def test_rows_left_with_nothing_are_zero_and_not_nan(check, queries):
    reading = reads((0, 20), epsilon=(-INF,), reader=18)
    output, _ = check(PagedCase(requests=(Request(20, queries, reading),)))
    assert (output == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_matches_the_reference(check, dtype):
    requests = (Request(29, reading=DECODED), Request(29, 4, DECODED))
    check(PagedCase(requests=requests, dtype=dtype, head_dim=24))


def test_more_spans_than_a_tile_of_segments_match_the_reference(check):
    spans = tuple((2 * start, 2 * start + 1) for start in range(17))
    reading = reads(*spans, epsilon=tuple(0.2 * k for k in range(17)), reader=36)
    check(PagedCase(requests=(Request(40, 1, reading), Request(40, 3, reading)), spans=17, kv_heads=1, groups=1))


@pytest.mark.parametrize("case", [RAGGED, TAIL], ids=["decoded", "tails"])
def test_dropping_the_bias_would_be_noticed(interpreting, case):
    """The parity above must fail without it: the output moves far beyond the tolerance."""
    got = interpreting(run, case)
    with pytest.raises(AssertionError, match="not close"):
        assert_equal(got, prepare(case), biased=False)


@pytest.mark.parametrize(
    ("case", "window"), [(RAGGED, None), (RAGGED, 13), (TAIL, 13)], ids=["decoded", "decoded in a window", "tails"]
)
def test_the_kernels_read_the_bytes_that_are_told(interpreting, case, window):
    """Counted load by load. A decoded token reads each key and value once, and none that its window hides."""
    case = replace(case, window=window)
    read, distinct = interpreting(counting, case)
    tile = tile_sizes(case.groups, 16, case.dtype)[2] // case.groups
    told = [
        key_value_bytes(
            request.keys,
            request.queries,
            request.reading.served_from if request.reading else None,
            kv_heads=case.kv_heads,
            key_bytes=2 * case.head_dim * 4,
            tile=tile,
            window=window,
        )
        for request in case.requests
    ]
    assert read == sum(one.served for one in told)
    if case.requests is RAGGED.requests:
        assert read == distinct


def test_a_served_batch_reads_its_keys_once_and_an_overlay_would_read_them_twice():
    sizes = {"kv_heads": 8, "key_bytes": 2 * 128 * 2, "tile": 16}
    steered = key_value_bytes(8192, 1, 8000, **sizes)
    plain = key_value_bytes(8192, 1, None, **sizes)
    assert steered.stock == 0
    assert steered.served == plain.stock == 8192 * 8 * 512
    assert plain.served == 0


def test_a_chunk_that_both_compute_is_read_by_both():
    sizes = {"kv_heads": 1, "key_bytes": 1, "tile": 4}
    both = key_value_bytes(16, 8, 12, **sizes)
    assert both.stock == 12 + 16
    assert both.served == 16
    assert key_value_bytes(16, 8, 12, solved=True, **sizes).served == 24


def test_few_requests_are_cut_into_many_chunks_and_many_into_few():
    assert [split_count(requests, 8) for requests in (1, 16, 64, 1024)] == [32, 8, 2, 1]


def changed(**changes):
    return lambda arguments: {**arguments, **{name: change(arguments[name]) for name, change in changes.items()}}


REFUSALS = {
    "queries are torch.float64": changed(query=lambda q: q.double()),
    "do not fit 4 heads of 16": changed(key=lambda k: k[..., :8]),
    "a page holds 3 keys": changed(key=lambda k: k[:, :, :3], value=lambda v: v[:, :, :3]),
    "contiguous along head_dim": changed(output=lambda o: o.transpose(1, 2).contiguous().transpose(1, 2)),
    "factors .* do not fit": changed(factors=lambda f: f[:2]),
    "the tables of 4 heads": changed(tables=lambda t: replace(t, head_factors=t.head_factors[..., :2])),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_does_not_fit_is_refused(message):
    inputs = prepare(replace(RAGGED, kv_heads=2))
    query, key, value, output, _, tables, _ = inputs.arguments
    fitting = {"query": query, "key": key, "value": value, "output": output, "tables": tables}
    fitting["factors"] = inputs.options["factors"]
    check_fits(**fitting)
    with pytest.raises(ValueError, match=message):
        check_fits(**REFUSALS[message](fitting))
