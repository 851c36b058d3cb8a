import math

import pytest

from xmguard.context import Context, ContextSpan, SpanMap, SpanTokens
from xmguard.measurement import Measurement
from xmguard.reports import AloneAnswer, imbalance, span_reports
from xmguard.span import Span

SPANS = SpanMap((SpanTokens("a", 2, 6), SpanTokens("b", 7, 9)), 9)
NORMS = (
    ((1.0, 4.0, 2.0), (3.0, 2.0, 1.0)),  # layer 0: two heads, each rest, a, b
    ((2.0, 6.0, 0.5), (2.0, 4.0, 0.5)),
)
MASSES = (((0.5, 0.3, 0.2), (0.7, 0.2, 0.1)), ((0.6, 0.3, 0.1), (0.4, 0.4, 0.2)))
BEFORE = Measurement(SPANS, NORMS, MASSES, rows=3)
EVEN = Measurement(SPANS, (((2.0, 3.0, 3.0),) * 2,) * 2, (((0.2, 0.4, 0.4),) * 2,) * 2, rows=3)
CONTEXT = Context((ContextSpan(Span("a", "x"), "text", "en"), ContextSpan(Span("b", "y"), "text", "es")), "?")


def test_contributions_are_means_over_layers_and_heads():
    assert BEFORE.contributions == {"a": 4.0, "b": 1.0}
    assert BEFORE.rest == 2.0
    assert BEFORE.attention == pytest.approx({"a": 0.3, "b": 0.15})


def test_shares_and_the_rest_sum_to_one():
    assert BEFORE.shares == pytest.approx({"a": 4 / 7, "b": 1 / 7})
    assert sum(BEFORE.shares.values()) + BEFORE.rest_share == pytest.approx(1.0)


def test_log_ratios():
    assert BEFORE.log_ratio == pytest.approx(math.log(4))
    assert BEFORE.log_ratio_per_token == pytest.approx(math.log((4 / 4) / (1 / 2)))
    assert EVEN.log_ratio == 0.0


def test_a_ratio_that_is_not_defined_is_none():
    removed = Measurement(SPANS, (((2.0, 3.0, 0.0),),), (((0.2, 0.8, 0.0),),), rows=3)
    assert removed.log_ratio is None
    alone = Measurement(SpanMap(SPANS.spans[:1], 9), (((2.0, 3.0),),), (((0.2, 0.8),),), rows=3)
    assert alone.log_ratio is None


def test_nothing_measured_has_no_mean():
    with pytest.raises(ValueError, match="nothing was measured"):
        _ = Measurement(SPANS, (), (), rows=0).contributions


def test_span_reports():
    a, b = span_reports(
        CONTEXT, BEFORE, EVEN, bias={"b": 1.5}, generated=EVEN, alone={"b": AloneAnswer("no", 0.7)}, layers=True
    )
    assert (a.tokens, a.contribution_before, a.contribution_after, a.bias) == (4, 4.0, 3.0, 0.0)
    assert (b.language, b.bias, b.answer_alone, b.entropy_alone) == ("es", 1.5, "no", 0.7)
    assert b.contribution_generated == 3.0
    assert [(layer.layer, layer.heads_before) for layer in a.layers] == [(0, (4.0, 2.0)), (1, (6.0, 4.0))]


def test_what_was_not_measured_is_absent_and_not_zero():
    nothing = Measurement(SPANS, (), (), rows=0)
    a, _ = span_reports(CONTEXT, BEFORE, BEFORE, bias=None, generated=nothing)
    assert a.bias is None
    assert a.contribution_generated is None
    assert a.entropy_alone is None
    assert a.layers == ()


def test_imbalance_names_the_extremes_before():
    report = imbalance(BEFORE, EVEN)
    assert (report.under_attended, report.over_attended) == ("b", "a")
    assert report.log_ratio_before == pytest.approx(math.log(4))
    assert report.log_ratio_after == 0.0
    assert report.rest_share_before == pytest.approx(2 / 7)


@pytest.mark.parametrize("ranges", [[(2, 2)], [(3, 5), (4, 6)], [(8, 10)], [(5, 3)]])
def test_a_span_map_keeps_its_invariants(ranges):
    with pytest.raises(ValueError, match="span map is broken"):
        SpanMap(tuple(SpanTokens(str(i), *r) for i, r in enumerate(ranges)), 9)
