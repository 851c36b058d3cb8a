import math

import pytest

from xmguard.bias import AttentionBias
from xmguard.context import SpanMap, SpanTokens
from xmguard.errors import InvalidRequest
from xmguard.measurement import Measurement
from xmguard.rebalance.fixed import Fixed
from xmguard.rebalance.none import MeasureOnly
from xmguard.request import Rebalance, Scope

EPSILON = 'rebalance.parameters["epsilon"]'
SPANS = SpanMap((SpanTokens("a", 2, 6), SpanTokens("b", 7, 9)), 9)
MEASURED = Measurement(SPANS, (((1.0, 4.0, 2.0),),), (((0.5, 0.3, 0.2),),), rows=3)
ALONE = Measurement(SpanMap(SPANS.spans[:1], 9), (((1.0, 4.0),),), (((0.5, 0.5),),), rows=3)


def test_none_never_steers():
    plan = MeasureOnly().plan(MEASURED, Rebalance("none"))
    assert plan.bias is None
    assert plan.reason


def test_fixed_applies_the_callers_bias():
    bias = {"a": -math.inf, "b": 20.0}
    plan = Fixed().plan(MEASURED, Rebalance("fixed", bias=bias, scope=Scope.ALL))
    assert plan.bias == AttentionBias(bias, Scope.ALL)


def test_fixed_lifts_the_span_with_the_smallest_contribution():
    plan = Fixed().plan(MEASURED, Rebalance("fixed", {"epsilon": 1.5}))
    assert plan.bias == AttentionBias({"b": 1.5}, Scope.READERS)
    assert "b" in plan.reason


@pytest.mark.parametrize(
    ("measured", "request_", "reason"),
    [
        (MEASURED, Rebalance("fixed", bias={"a": 0.0}), "changes nothing"),
        (MEASURED, Rebalance("fixed", {"epsilon": 0.0}), "changes nothing"),
        (ALONE, Rebalance("fixed", {"epsilon": 1.0}), "one span alone"),
    ],
)
def test_what_is_not_applied_says_why(measured, request_, reason):
    plan = Fixed().plan(measured, request_)
    assert plan.bias is None
    assert reason in plan.reason


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (Rebalance("fixed"), "rebalance.bias", "needs an epsilon"),
        (Rebalance("fixed", {"epsilon": 1.0}, {"a": 1.0}), EPSILON, "by itself"),
        (Rebalance("fixed", {"epsilon": -1.0}), EPSILON, "-1.0"),
        (Rebalance("fixed", {"epsilon": math.nan}), EPSILON, "nan"),
        (Rebalance("fixed", {"epsilon": 21.0}), EPSILON, "21.0"),
    ],
)
def test_a_bias_out_of_range_names_its_field(request_, field, words):
    with pytest.raises(InvalidRequest) as caught:
        Fixed().plan(MEASURED, request_)
    assert [violation.field for violation in caught.value.violations] == [field]
    assert words in caught.value.violations[0].description
