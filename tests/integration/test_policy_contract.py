"""The contract of policies notices each way in which a policy, or the engine, can go wrong."""

import pytest

from xmguard.bias import AttentionBias, RebalancePlan, SoftenShares
from xmguard.errors import PluginError
from xmguard.rebalance.fixed import Fixed
from xmguard.rebalance.soften import Soften
from xmguard.request import Rebalance
from xmguard.testing import PolicyContract

WANTED = Rebalance("test")


class Policy:
    """Does what a test tells it to."""

    name = "test"
    summary = "for this test"
    parameters = {}

    def __init__(self, epsilon, **bias):
        self.epsilon, self.bias, self.calls = epsilon, bias, 0

    def plan(self, measurement, request, profile):
        self.calls += 1
        heads = profile.heads if profile else None
        return RebalancePlan(AttentionBias(self.epsilon(self, measurement), **({"heads": heads} | self.bias)), "test")


def contract(policy, *requests):
    class Tests(PolicyContract):
        pass

    Tests.policy, Tests.requests = policy, requests or (WANTED,)
    return Tests()


def smallest(policy, measurement):
    contributions = measurement.contributions
    return {min(contributions, key=contributions.get): 1.0}


def last(policy, measurement):
    return {measurement.span_map.ids[-1]: 1.0}


def counting(policy, measurement):
    return {measurement.span_map.ids[0]: 1.0 + policy.calls / 1000}


def dividing(policy, measurement):
    a, *others = measurement.contributions.values()
    return {measurement.span_map.ids[0]: min(20.0, max(others, default=0.0) / a)}


@pytest.mark.parametrize(
    ("test", "policy"),
    [
        ("test_planning_is_pure", Policy(counting)),
        ("test_permuted_spans_permute_the_plan", Policy(last)),
        ("test_a_profile_of_heads_is_not_dropped", Policy(smallest, heads=None)),
        ("test_a_profile_of_heads_is_not_dropped", Policy(smallest, heads=((1.0,) * 6,) * 3)),
        ("test_a_plan_is_one_that_the_guard_applies", Policy(smallest, heads=((1.0,) * 6,) * 2)),
        ("test_a_plan_is_one_that_the_guard_applies", Policy(lambda *_: {"s7": 1.0})),
        ("test_a_plan_is_one_that_the_guard_applies", Policy(lambda *_: {"s1": float("nan")})),
        ("test_a_plan_is_one_that_the_guard_applies", Policy(lambda *_: {"s1": 21.0})),
        ("test_a_plan_is_one_that_the_guard_applies", Policy(dividing)),
        ("test_a_plan_is_one_that_the_guard_applies", Policy(lambda *_: {}, rule=3)),
    ],
)
def test_a_broken_policy_does_not_pass(test, policy):
    with pytest.raises((AssertionError, PluginError)):
        getattr(contract(policy), test)(WANTED)


def test_a_policy_that_breaks_is_told_how_to_refuse():
    class Strict(Policy):
        parameters = {"epsilon": "nats"}

        def plan(self, measurement, request, profile):
            raise ValueError("epsilon is -1")

    with pytest.raises(
        AssertionError, match=r"ValueError: epsilon is -1; .*InvalidRequest.field\('rebalance.param"
    ) as said:
        contract(Strict(last)).test_planning_is_pure(WANTED)
    assert isinstance(said.value.__cause__, ValueError)


def test_a_policy_that_looks_at_the_order_is_told_what_to_say():
    with pytest.raises(AssertionError, match="depends_on_order = True"):
        contract(Policy(last)).test_permuted_spans_permute_the_plan(WANTED)


def test_a_sound_policy_passes_what_the_broken_ones_do_not():
    tests = contract(Policy(smallest))
    for name in (
        "test_planning_is_pure",
        "test_permuted_spans_permute_the_plan",
        "test_a_profile_of_heads_is_not_dropped",
        "test_a_plan_is_one_that_the_guard_applies",
    ):
        getattr(tests, name)(WANTED)


def test_parameters_are_documented_and_every_one_is_tried():
    with pytest.raises(AssertionError):
        contract(Soften(), Rebalance("soften", {"heat": 2.0})).test_it_takes_documented_parameters_only()
    with pytest.raises(AssertionError, match="no request uses"):
        contract(Soften(), Rebalance("soften")).test_it_takes_documented_parameters_only()


def test_an_engine_that_drops_a_bias_does_not_pass(monkeypatch):
    from xmguard.backends.transformers.session import TransformersSession

    wanted = Rebalance("fixed", bias={"s2": 2.0})
    tests = contract(Fixed(), wanted)
    tests.test_the_engine_does_what_the_plan_says(wanted, None)
    monkeypatch.setattr(TransformersSession, "_steering", lambda self, branches, generated: None)
    with pytest.raises(AssertionError):
        tests.test_the_engine_does_what_the_plan_says(wanted, None)


def test_a_request_that_changes_nothing_to_speak_of_is_no_test_of_the_engine():
    wanted = Rebalance("fixed", bias={"s2": 1e-5})
    with pytest.raises(AssertionError, match="make it stronger"):
        contract(Fixed(), wanted).test_the_engine_does_what_the_plan_says(wanted, None)


def test_an_engine_that_leaves_rows_as_they_are_breaks_a_rules_promise():
    from xmguard.testing.steering import broken_promise

    row = {"": 0.4, "s1": 0.3, "s2": 0.2, "s3": 0.1}
    assert "wants" in broken_promise(SoftenShares(2.0), row, row)
    assert broken_promise(SoftenShares(1.0), row, row) == ""
