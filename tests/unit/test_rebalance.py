import math

import pytest

from xmguard.bias import AttentionBias, FloorShares, SoftenShares, TargetShares
from xmguard.context import SpanMap, SpanTokens
from xmguard.errors import InvalidRequest
from xmguard.measurement import Measurement
from xmguard.profile import Profile
from xmguard.rebalance.fixed import Fixed
from xmguard.rebalance.floor import DEFAULT_CAP, Floor
from xmguard.rebalance.none import MeasureOnly
from xmguard.rebalance.soften import DEFAULT_TEMPERATURE, Soften
from xmguard.rebalance.target import Target
from xmguard.request import Rebalance, Scope

SPANS = SpanMap((SpanTokens("a", 2, 6), SpanTokens("b", 7, 9)), 9)
MEASURED = Measurement(SPANS, (((1.0, 4.0, 2.0),),), (((0.5, 0.3, 0.2),),), rows=3)
ALONE = Measurement(SpanMap(SPANS.spans[:1], 9), (((1.0, 4.0),),), (((0.5, 0.5),),), rows=3)


def test_none_never_steers():
    plan = MeasureOnly().plan(MEASURED, Rebalance("none"), None)
    assert plan.bias is None
    assert plan.reason


def test_fixed_applies_the_callers_bias():
    bias = {"a": -math.inf, "b": 20.0}
    plan = Fixed().plan(MEASURED, Rebalance("fixed", bias=bias, scope=Scope.ALL), None)
    assert plan.bias == AttentionBias(bias, Scope.ALL)


def test_fixed_lifts_the_span_with_the_smallest_contribution():
    plan = Fixed().plan(MEASURED, Rebalance("fixed", {"epsilon": 1.5}), None)
    assert plan.bias == AttentionBias({"b": 1.5}, Scope.READERS)
    assert "b" in plan.reason


def test_a_profiles_heads_are_on_every_bias():
    profile = Profile("p", "none", heads=((0.5,),))
    for policy, parameters in (
        (Fixed(), {"epsilon": 1.5}),
        (Target(), {"share": 0.2}),
        (Floor(), {"minimum": 0.5}),
        (Soften(), {}),
    ):
        plan = policy.plan(MEASURED, Rebalance(policy.name, parameters), profile)
        assert plan.bias.heads == ((0.5,),)
    assert Fixed().plan(MEASURED, Rebalance("fixed", bias={"a": 1.0}), profile).bias.heads == ((0.5,),)


def test_target_gives_the_share_to_the_span_with_the_smallest_contribution():
    plan = Target().plan(MEASURED, Rebalance("target", {"share": 0.25}, scope=Scope.GENERATED), None)
    assert plan.bias == AttentionBias(scope=Scope.GENERATED, rule=TargetShares({"b": 0.25}))
    assert plan.reason == "shares of attention: 25.0% on b, the span with the smallest contribution"


def test_target_gives_each_named_span_its_share():
    plan = Target().plan(MEASURED, Rebalance("target", {"share.a": 0.25, "share.b": 0.5}), None)
    assert plan.bias == AttentionBias(scope=Scope.READERS, rule=TargetShares({"a": 0.25, "b": 0.5}))
    alone = Target().plan(ALONE, Rebalance("target", {"share.a": 0.25}), None)
    assert alone.bias is not None, "a share named outright needs no second span"


def test_floor_holds_every_span_or_those_named():
    everywhere = Floor().plan(MEASURED, Rebalance("floor", {"minimum": 0.5}), None)
    assert everywhere.bias.rule == FloorShares({"a": 0.5, "b": 0.5}, DEFAULT_CAP)
    named = Floor().plan(MEASURED, Rebalance("floor", {"minimum": 0.5, "minimum.a": 0.0, "cap": 1.0}), None)
    assert named.bias.rule == FloorShares({"b": 0.5}, 1.0)
    assert "b at 50%, with at most +1 nats" in named.reason


def test_soften_takes_its_temperature():
    assert Soften().plan(MEASURED, Rebalance("soften"), None).bias.rule == SoftenShares(DEFAULT_TEMPERATURE)
    assert Soften().plan(MEASURED, Rebalance("soften", {"temperature": 4.0}), None).bias.rule == SoftenShares(4.0)


@pytest.mark.parametrize(
    ("policy", "measured", "request_", "reason"),
    [
        (Fixed(), MEASURED, Rebalance("fixed", bias={"a": 0.0}), "changes nothing"),
        (Fixed(), MEASURED, Rebalance("fixed", {"epsilon": 0.0}), "changes nothing"),
        (Fixed(), ALONE, Rebalance("fixed", {"epsilon": 1.0}), "one span alone"),
        (Target(), MEASURED, Rebalance("target"), "no share is asked for"),
        (Target(), ALONE, Rebalance("target", {"share": 0.2}), "one span alone"),
        (Floor(), MEASURED, Rebalance("floor"), "no minimum above 0"),
        (Floor(), MEASURED, Rebalance("floor", {"minimum": 0.0}), "no minimum above 0"),
        (Floor(), ALONE, Rebalance("floor", {"minimum": 0.5}), "one span alone"),
        (Soften(), MEASURED, Rebalance("soften", {"temperature": 1.0}), "changes nothing"),
        (Soften(), ALONE, Rebalance("soften"), "one span alone"),
    ],
)
def test_what_is_not_applied_says_why(policy, measured, request_, reason):
    plan = policy.plan(measured, request_, None)
    assert plan.bias is None
    assert reason in plan.reason


@pytest.mark.parametrize(
    ("policy", "parameters", "bias", "field", "words"),
    [
        (Fixed(), {}, {}, "rebalance.bias", "needs an epsilon"),
        (Fixed(), {"epsilon": 1.0}, {"a": 1.0}, 'rebalance.parameters["epsilon"]', "by itself"),
        (Fixed(), {"epsilon": -1.0}, {}, 'rebalance.parameters["epsilon"]', "-1.0"),
        (Fixed(), {"epsilon": math.nan}, {}, 'rebalance.parameters["epsilon"]', "nan"),
        (Fixed(), {"epsilon": 21.0}, {}, 'rebalance.parameters["epsilon"]', "21.0"),
        (Target(), {"share": 0.2, "share.a": 0.2}, {}, 'rebalance.parameters["share"]', "by itself"),
        (Target(), {"share": 1.0}, {}, 'rebalance.parameters["share"]', "is 1.0; from 1e-06 to 0.999"),
        (Target(), {"share.a": 0.0}, {}, 'rebalance.parameters["share.a"]', "is 0.0; from 1e-06 to 0.999"),
        (Target(), {"share.a": 0.5, "share.b": 0.5}, {}, "rebalance.parameters", "sum to 1; at most 0.999"),
        (Floor(), {"minimum": 1.5}, {}, 'rebalance.parameters["minimum"]', "from 0 to 1"),
        (Floor(), {"minimum.a": -0.5}, {}, 'rebalance.parameters["minimum.a"]', "from 0 to 1"),
        (Floor(), {"minimum": 0.5, "cap": 0.0}, {}, 'rebalance.parameters["cap"]', "at most 20 nats"),
        (Soften(), {"temperature": 0.5}, {}, 'rebalance.parameters["temperature"]', "1 or more"),
    ],
)
def test_a_parameter_out_of_range_names_its_field(policy, parameters, bias, field, words):
    with pytest.raises(InvalidRequest) as caught:
        policy.plan(MEASURED, Rebalance(policy.name, parameters, bias), None)
    assert [violation.field for violation in caught.value.violations] == [field]
    assert words in caught.value.violations[0].description


def test_every_wrong_parameter_is_named_at_once():
    with pytest.raises(InvalidRequest) as caught:
        Floor().plan(MEASURED, Rebalance("floor", {"minimum": 2.0, "minimum.a": -1.0, "cap": 99.0}), None)
    assert len(caught.value.violations) == 3


def test_a_bias_that_no_head_applies_is_zero():
    assert AttentionBias({"a": 2.0}, heads=((0.0,),)).is_zero
    assert AttentionBias(rule=SoftenShares(2.0), heads=((0.0,),)).is_zero
    assert not AttentionBias({"a": 2.0}, heads=((0.0, 0.1),)).is_zero
