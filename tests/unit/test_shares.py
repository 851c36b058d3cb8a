"""The closed forms against what they promise: shares after the softmax, in float64, row by row."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xmguard.attention.shares import floor_epsilon, soften_epsilon, target_epsilon

BATCH, HEADS, ROWS = 2, 3, 5
EXACT = 1e-9
MANY = settings(max_examples=60, deadline=None)

seeds = st.integers(0, 2**31 - 1)
spans = st.integers(1, 5)


def rows(segments, seed, *, unseen=0.2, scale=4.0, dtype=torch.float64):
    """Log-sum-exps of the rest and some spans, [segment, batch, head, query]; some rows do not see some spans."""
    generator = torch.Generator().manual_seed(seed)
    shape = (segments + 1, BATCH, HEADS, ROWS)
    lse = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
    hidden = torch.rand(shape, generator=generator) < unseen
    hidden[0] = False
    return lse.masked_fill(hidden, -torch.inf).to(dtype)


def column(values, dtype=torch.float64):
    """One number per segment, [segment, 1, 1, 1]."""
    return torch.tensor(values, dtype=dtype).view(-1, 1, 1, 1)


def shares_of(lse, sinks=None):
    """Attention shares of the segments, written out."""
    exps = lse.exp()
    total = exps.sum(0)
    if sinks is not None:
        total = total + sinks.exp().view(1, -1, 1)
    return exps / total


def named(segments, values):
    """The rest is not steered, and neither are spans with value 0."""
    return column([0.0, *values, *[0.0] * (segments - len(values))])


def sinks_for(seed):
    return torch.randn(HEADS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def all_spans(segments):
    return column([False, *[True] * segments], dtype=torch.bool)


# -- target ----------------------------------------------------------------------------------------------------------


@MANY
@given(seed=seeds, segments=spans, total=st.floats(0.01, 0.99), steered=st.integers(1, 5), sink=st.booleans())
def test_every_row_gets_every_target_it_can(seed, segments, total, steered, sink):
    lse = rows(segments, seed)
    count = min(steered, segments)
    weights = torch.rand(count, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64) + 0.05
    wanted = named(segments, (weights / weights.sum() * total).tolist())
    sinks = sinks_for(seed) if sink else None
    epsilon = target_epsilon(lse, wanted, sinks)
    got = shares_of(lse + epsilon, sinks)
    visible = lse > -torch.inf
    want = torch.where(visible, wanted, 0.0)
    torch.testing.assert_close(got[1 : count + 1], want[1 : count + 1], rtol=0, atol=EXACT)
    assert (epsilon[count + 1 :] == 0).all()
    assert (epsilon[0] == 0).all()
    assert epsilon.isfinite().all()


@MANY
@given(seed=seeds)
def test_what_is_not_named_keeps_its_proportions(seed):
    lse = rows(4, seed, unseen=0.0)
    sinks = sinks_for(seed)
    got = shares_of(lse + target_epsilon(lse, named(4, [0.3, 0.2]), sinks), sinks)
    before = shares_of(lse, sinks)
    for segment in (3, 4):
        torch.testing.assert_close(got[segment] / got[0], before[segment] / before[0], rtol=1e-9, atol=0)
    torch.testing.assert_close(1 - got.sum(0), (1 - before.sum(0)) * got[0] / before[0], rtol=0, atol=EXACT)


def test_a_row_that_sees_steered_segments_only_shares_in_proportion_to_the_targets():
    lse = rows(3, 7, unseen=0.0)
    lse[0] = lse[3] = -torch.inf
    got = shares_of(lse + target_epsilon(lse, named(3, [0.1, 0.3])))
    torch.testing.assert_close(got[1], torch.full_like(got[1], 0.25), rtol=0, atol=EXACT)
    torch.testing.assert_close(got[2], torch.full_like(got[2], 0.75), rtol=0, atol=EXACT)


def test_with_a_sink_such_a_row_still_gets_its_targets():
    lse = rows(2, 7, unseen=0.0)
    lse[0] = -torch.inf
    sinks = sinks_for(3)
    got = shares_of(lse + target_epsilon(lse, named(2, [0.1, 0.3]), sinks), sinks)
    torch.testing.assert_close(got[1:], column([0.1, 0.3]).expand_as(got[1:]), rtol=0, atol=EXACT)


def test_a_row_that_sees_no_steered_segment_is_left_alone():
    lse = rows(3, 7, unseen=0.0)
    lse[1] = -torch.inf
    assert (target_epsilon(lse, named(3, [0.4])) == 0).all()


def test_targets_may_differ_between_the_branches_of_a_batch():
    lse = rows(2, 11, unseen=0.0)
    wanted = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.3, 0.5]], dtype=torch.float64).view(3, BATCH, 1, 1)
    got = shares_of(lse + target_epsilon(lse, wanted))
    torch.testing.assert_close(got[1, 0], torch.full_like(got[1, 0], 0.2), rtol=0, atol=EXACT)
    torch.testing.assert_close(got[2], wanted[2].expand_as(got[2]), rtol=0, atol=EXACT)
    torch.testing.assert_close(got[1, 1] / got[0, 1], (lse[1, 1] - lse[0, 1]).exp(), rtol=1e-9, atol=0)


def test_float32_log_sum_exps_take_float32_steps():
    lse = rows(3, 5, scale=20.0, dtype=torch.float32)
    wanted = named(3, [0.2, 0.3]).float()
    epsilon = target_epsilon(lse, wanted)
    assert epsilon.dtype == torch.float32
    got = shares_of((lse + epsilon).double())
    want = torch.where(lse > -torch.inf, wanted, 0.0).double()
    torch.testing.assert_close(got[1:3], want[1:3], rtol=0, atol=1e-5)


# -- floor -----------------------------------------------------------------------------------------------------------


def floor(lse, parts, cap=20.0):
    segments = lse.shape[0] - 1
    return floor_epsilon(lse, named(segments, parts), all_spans(segments), torch.tensor(cap))


@MANY
@given(seed=seeds, segments=spans, part=st.floats(0.01, 1.0), cap=st.floats(0.1, 20.0))
def test_no_span_stays_below_its_floor_unless_the_cap_holds_it_there(seed, segments, part, cap):
    lse = rows(segments, seed)
    epsilon = floor(lse, [part] * segments, cap)
    before, after = shares_of(lse), shares_of(lse + epsilon)
    largest = lse[1:].amax(0)
    for span in range(1, segments + 1):
        missing = largest + math.log(part) - lse[span]
        seen = lse[span] > -torch.inf
        met, held = seen & (missing <= 0), seen & (missing > cap)
        lifted = seen & ~met & ~held
        assert (epsilon[span][~seen | met] == 0).all()
        torch.testing.assert_close(epsilon[span][held], torch.full_like(epsilon[span][held], cap), rtol=0, atol=1e-6)
        top = after[1:].amax(0)
        torch.testing.assert_close(after[span][lifted], part * top[lifted], rtol=0, atol=EXACT)
        assert (after[span][held] < part * top[held]).all()
    assert (epsilon >= 0).all()
    assert (epsilon[0] == 0).all()
    assert (after[0] <= before[0] + EXACT).all()


@MANY
@given(seed=seeds, segments=spans, part=st.floats(0.01, 1.0))
def test_the_most_attended_span_stays_the_most_attended(seed, segments, part):
    lse = rows(segments, seed, unseen=0.0)
    epsilon = floor(lse, [part] * segments)
    first = lse[1:].argmax(0, keepdim=True)
    assert (epsilon[1:].gather(0, first) == 0).all()
    after = shares_of(lse + epsilon)[1:]
    assert (after <= after.gather(0, first) + EXACT).all()


def test_a_floor_of_one_is_parity():
    lse = rows(3, 3, unseen=0.0, scale=2.0)
    after = shares_of(lse + floor(lse, [1.0, 1.0, 1.0]))
    torch.testing.assert_close(after[1], after[2], rtol=0, atol=EXACT)
    torch.testing.assert_close(after[2], after[3], rtol=0, atol=EXACT)


def test_only_named_spans_are_lifted_but_all_are_compared():
    lse = column([0.0, -3.0, -2.0, 1.0])
    epsilon = floor(lse, [0.5]).flatten()
    assert epsilon.tolist() == pytest.approx([0.0, 4.0 + math.log(0.5), 0.0, 0.0])


def test_the_rest_is_no_span_to_be_compared_with():
    lse = column([50.0, 1.0, 1.0])
    assert (floor(lse, [1.0, 1.0]) == 0).all()


def test_floors_that_are_met_change_nothing():
    lse = rows(3, 9, unseen=0.0, scale=0.1)
    assert (floor(lse, [0.2, 0.2, 0.2]) == 0).all()


# -- soften ----------------------------------------------------------------------------------------------------------


def soften(lse, temperature):
    return soften_epsilon(lse, torch.tensor(temperature, dtype=torch.float64), all_spans(lse.shape[0] - 1))


@MANY
@given(seed=seeds, segments=spans, temperature=st.floats(1.0, 50.0), sink=st.booleans())
def test_softening_is_a_softmax_with_a_temperature_within_the_spans(seed, segments, temperature, sink):
    lse = rows(segments, seed)
    sinks = sinks_for(seed) if sink else None
    epsilon = soften(lse, temperature)
    before, after = shares_of(lse, sinks), shares_of(lse + epsilon, sinks)
    assert epsilon.isfinite().all()
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=EXACT)
    torch.testing.assert_close(after[1:].sum(0), before[1:].sum(0), rtol=0, atol=EXACT)
    # A row that sees no span at all has no distribution among them.
    inside = torch.softmax(lse[1:] / temperature, dim=0).nan_to_num(0.0)
    torch.testing.assert_close(after[1:], inside * before[1:].sum(0), rtol=0, atol=EXACT)


@MANY
@given(seed=seeds, segments=spans)
def test_temperature_one_changes_nothing(seed, segments):
    lse = rows(segments, seed)
    torch.testing.assert_close(soften(lse, 1.0), torch.zeros_like(lse), rtol=0, atol=EXACT)


def test_a_segment_that_takes_no_part_keeps_its_share():
    lse = rows(3, 13, unseen=0.0)
    taking = column([False, True, True, False], dtype=torch.bool)
    epsilon = soften_epsilon(lse, torch.tensor(3.0), taking)
    before, after = shares_of(lse), shares_of(lse + epsilon)
    torch.testing.assert_close(after[3], before[3], rtol=0, atol=EXACT)
    torch.testing.assert_close(after[1:3].sum(0), before[1:3].sum(0), rtol=0, atol=EXACT)
    assert (epsilon[1].abs() > 0.01).any()


# -- all of them -----------------------------------------------------------------------------------------------------

RULES = {
    "target": lambda lse, numbers: target_epsilon(lse, numbers),
    "floor": lambda lse, numbers: floor_epsilon(lse, numbers * 3, all_spans(lse.shape[0] - 1), torch.tensor(3.0)),
    "soften": lambda lse, numbers: soften(lse, 2.5),
}


@pytest.mark.parametrize("rule", RULES)
@MANY
@given(seed=seeds, order=st.permutations(range(3)))
def test_permuted_spans_get_permuted_epsilons(rule, seed, order):
    lse, numbers = rows(3, seed), column([0.0, 0.1, 0.2, 0.3])
    moved = [0, *(k + 1 for k in order)]
    got = RULES[rule](lse[moved], numbers[moved])
    torch.testing.assert_close(got, RULES[rule](lse, numbers)[moved], rtol=0, atol=EXACT)


@pytest.mark.parametrize("rule", RULES)
def test_a_span_that_a_constant_removed_stays_removed(rule):
    lse, numbers = rows(3, 2, unseen=0.0), column([0.0, 0.1, 0.2, 0.3])
    removed = lse + column([0.0, 0.0, -math.inf, 0.0])
    epsilon = RULES[rule](removed, numbers)
    assert (epsilon[2] == 0).all()
    assert epsilon.isfinite().all()
    kept = [0, 1, 3]
    torch.testing.assert_close(epsilon[kept], RULES[rule](lse[kept], numbers[kept]), rtol=0, atol=EXACT)


@pytest.mark.parametrize("rule", RULES)
def test_a_constant_for_all_segments_of_a_row_changes_no_epsilon(rule):
    lse, numbers = rows(3, 21), column([0.0, 0.1, 0.2, 0.3])
    torch.testing.assert_close(RULES[rule](lse + 7.5, numbers), RULES[rule](lse, numbers), rtol=0, atol=EXACT)


@pytest.mark.parametrize("rule", RULES)
def test_a_row_that_sees_nothing_gets_no_epsilon(rule):
    lse, numbers = rows(3, 4), column([0.0, 0.1, 0.2, 0.3])
    lse[:, 0, 0, 0] = -torch.inf
    epsilon = RULES[rule](lse, numbers)
    assert (epsilon[:, 0, 0, 0] == 0).all()
    assert epsilon.isfinite().all()
