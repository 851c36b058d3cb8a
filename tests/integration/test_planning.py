"""Policies as the guard asks them, on a tiny real model: what is applied, what is refused, what is said."""

import math
from dataclasses import replace

import pytest

from xmguard import hookimpl
from xmguard.bias import AttentionBias, FloorShares, RebalancePlan, TargetShares
from xmguard.errors import InvalidRequest, PluginError
from xmguard.guard import Guard
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest, Decoding, OnError, Rebalance, Scope
from xmguard.span import Span

REQUEST = AnswerRequest(
    spans=(Span(text="The door is red.", language="en"), Span(text="Kapı mavi.", language="tr")),
    question="Which colour?",
    decoding=Decoding(max_tokens=30),
    on_error=OnError.OPEN,
)


@pytest.fixture
def guard(tiny_backend, registry):
    return Guard(tiny_backend, registry, model="tiny")


def test_a_policy_refuses_before_anything_is_answered(guard):
    for epsilon in (21.0, -1.0):
        with pytest.raises(InvalidRequest, match=r"rebalance.parameters\["):
            guard.answer(replace(REQUEST, rebalance=Rebalance("fixed", {"epsilon": epsilon})))


def planned(epsilon, **bias):
    return RebalancePlan(AttentionBias(epsilon, **bias), "test")


@pytest.mark.parametrize(
    "plan",
    [
        lambda: planned({"nope": 5.0}),
        lambda: planned({"s1": math.nan}),
        lambda: planned({"s1": math.inf}),
        lambda: planned({"s1": 20.5}),
        lambda: planned({}, rule=TargetShares({"nope": 0.5})),
        lambda: planned({}, rule=FloorShares({"s1": 0.5, "nope": 0.5}, 1.0)),
        lambda: planned({}, rule=object()),
        lambda: planned({"s1": 1.0}, heads=((1.0,) * 6,) * 2),
        lambda: planned({"s1": 1.0}, heads=((1.0,) * 5,) * 3),
        lambda: planned({"s1": 1.0}, heads=((math.nan,) * 6,) * 3),
        lambda: None,
        lambda: 1 / 0,
    ],
)
def test_a_plan_that_cannot_be_applied_is_an_error(tiny_backend, plan):
    script = plan

    class Wild:
        name = "wild"
        summary = "plans nonsense"
        parameters = {}

        def plan(self, measurement, request, profile):
            return script()

    class Plugin:
        @hookimpl
        def xmguard_policies(self):
            return [Wild()]

    guard = Guard(tiny_backend, load_plugins({"mine": Plugin()}), model="tiny")
    with pytest.raises(PluginError, match="policy 'wild'"):
        guard.check(replace(REQUEST, rebalance=Rebalance("wild")))


def test_a_bias_that_no_row_was_read_with_is_not_applied(guard):
    rebalance = Rebalance("fixed", bias={"s2": 4.0}, scope=Scope.GENERATED)
    checked = guard.check(replace(REQUEST, rebalance=rebalance))
    one_token = guard.answer(replace(REQUEST, rebalance=rebalance, decoding=Decoding(max_tokens=1)))
    for response in (checked, one_token):
        assert not response.rebalancing.applied
        assert "generated tokens" in response.rebalancing.reason
        assert response.spans[1].bias is None
    two_tokens = guard.answer(replace(REQUEST, rebalance=rebalance, decoding=Decoding(max_tokens=2)))
    assert two_tokens.rebalancing.applied
    assert two_tokens.spans[1].bias == 4.0


def test_a_plugins_policy_is_asked(tiny_backend):
    class Greedy:
        name = "everything-on-the-last"
        summary = "for this test"
        parameters = {}

        def plan(self, measurement, request, profile):
            return RebalancePlan(AttentionBias({measurement.span_map.ids[-1]: 5.0}, request.scope), "test")

    class Plugin:
        @hookimpl
        def xmguard_policies(self):
            return [Greedy()]

    guard = Guard(tiny_backend, load_plugins({"mine": Plugin()}), model="tiny")
    response = guard.check(replace(REQUEST, rebalance=Rebalance("everything-on-the-last")))
    assert response.rebalancing.applied
    assert response.spans[1].bias == 5.0


def test_removing_everything_is_said(guard):
    rebalance = Rebalance("fixed", bias={"s1": -math.inf, "s2": -math.inf})
    assert "every span is removed" in guard.check(replace(REQUEST, rebalance=rebalance)).warnings[0]
