"""The tests that every rebalancing policy passes, the built-in ones too.

    from xmguard.testing import PolicyContract

    class TestMine(PolicyContract):
        policy = Mine()
        requests = [Rebalance("mine", {"epsilon": 1.5}), Rebalance("mine", {"share.s2": 0.3})]

Policies are asked as the guard asks them, so a plan that the guard would refuse fails here. Knows no policy.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest
from torch import Tensor

from xmguard.bias import HeadFactors, RebalancePlan
from xmguard.context import SpanMap, SpanTokens
from xmguard.contracts import RebalancePolicy
from xmguard.errors import InvalidRequest, PluginError, keyed
from xmguard.measurement import Measurement
from xmguard.planning import plan_bias
from xmguard.profile import Profile
from xmguard.request import PER_SPAN, Rebalance, Scope
from xmguard.testing.contract import Contract, parametrized
from xmguard.testing.steering import SPANS, TOLERANCE, broken_promise, single_row, steer
from xmguard.testing.tiny import CONFIG
from xmguard.validation import wrong_parameters

LAYERS, HEADS = CONFIG["num_hidden_layers"], CONFIG["num_attention_heads"]
FACTORS: HeadFactors = tuple(
    tuple((0.0, 0.5, 1.0)[(layer + head) % 3] for head in range(HEADS)) for layer in range(LAYERS)
)
PROFILE = Profile("test", "none", heads=FACTORS)
VISIBLE = 10 * TOLERANCE
"""What a bias must change at least: a comparison that no bias could fail proves nothing."""
_TRIED_ON = (SPANS[:1], SPANS[:2], SPANS, (*SPANS, "s4", "s5"))


class PolicyContract(Contract):
    """Inherit, set `policy` and `requests`, and pytest collects the rest."""

    policy: ClassVar[RebalancePolicy]
    requests: ClassVar[Sequence[Rebalance]]
    """Requests it can plan for, with every parameter used at least once; spans are named `s1`, `s2`, `s3`."""
    refused: ClassVar[Sequence[Rebalance]] = ()
    """Requests it must refuse, naming a field of `rebalance`."""
    depends_on_order: ClassVar[bool] = False
    """True for a policy that looks at the order of the spans."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per request."""
        self.check_attributes()
        for name, requests in (("wanted", self.requests), ("bad", self.refused)):
            parametrized(metafunc, name, requests, [_id(request) for request in requests])

    def test_it_describes_itself(self) -> None:
        """Name, summary and the meaning of each parameter: what `GetModel` lists."""
        assert isinstance(self.policy, RebalancePolicy)
        assert self.policy.name
        assert self.policy.summary.strip()
        for name, meaning in self.policy.parameters.items():
            assert meaning.strip(), f"parameter {name} has no meaning"
        assert self.requests, "give at least one request"

    def test_it_takes_documented_parameters_only(self) -> None:
        """The requests name this policy and what it documents, and they use all of that."""
        used: set[str] = set()
        for request in (*self.requests, *self.refused):
            assert request.policy == self.policy.name
        for request in self.requests:
            assert not wrong_parameters(self.policy, request.parameters, SPANS)
            used |= {_documented(self.policy, key) for key in request.parameters}
        unused = set(self.policy.parameters) - used
        assert not unused, f"no request uses {sorted(unused)}"

    def test_a_plan_is_one_that_the_guard_applies(self, wanted: Rebalance) -> None:
        """On any measurement: spans that exist, epsilons in range, heads of the model's shape, and a reason."""
        tried = 0
        for measured in _measurements(wanted, self.policy):
            for profile in (None, PROFILE):
                plan = self._plan(measured, wanted, profile)
                assert plan.reason.strip(), "a plan says why"
                assert plan.reason.isprintable(), "a reason is one line"
                tried += 1
        assert tried, f"none of the spans {', '.join(SPANS)} fits this request"

    def test_planning_is_pure(self, wanted: Rebalance) -> None:
        """Same input, same plan, whatever was planned in between; and the input stays as it was."""
        for measured in _measurements(wanted, self.policy):
            kept, request = copy.deepcopy(measured), copy.deepcopy(wanted)
            first = copy.deepcopy(self._plan(measured, wanted, PROFILE))
            for other in self.requests:
                for between in _measurements(other, self.policy):
                    self._plan(between, other, None)
            assert self._plan(measured, wanted, PROFILE) == first
            assert measured == kept
            assert wanted == request

    def test_permuted_spans_permute_the_plan(self, wanted: Rebalance) -> None:
        """Each span gets what it got, wherever it stands."""
        if self.depends_on_order:
            pytest.skip("this policy looks at the order of the spans")
        for measured in _measurements(wanted, self.policy):
            spans = range(len(measured.span_map))
            for order in (spans[::-1], [*spans[1:], 0]):
                moved = self._plan(_permuted(measured, order), wanted, None)
                assert moved.bias == self._plan(measured, wanted, None).bias, (
                    "spans changed places and did not keep what they got; a policy that is to look at their order "
                    "says depends_on_order = True"
                )

    def test_a_profile_of_heads_is_not_dropped(self, wanted: Rebalance) -> None:
        """A head that the profile leaves alone stays alone."""
        for measured in _measurements(wanted, self.policy):
            bias = self._plan(measured, wanted, PROFILE).bias
            if bias is None:
                continue
            assert bias.heads is not None, "the profile has head factors; put them on the bias: heads=profile.heads"
            for layer, factors in enumerate(FACTORS):
                for head, factor in enumerate(factors):
                    assert factor or not bias.heads[layer][head], f"steers layer {layer} head {head}"

    def test_it_refuses_with_the_field(self, bad: Rebalance) -> None:
        """A request that cannot be planned names a field of `rebalance`, not the policy's inside."""
        with pytest.raises(InvalidRequest) as caught:
            self._plan(_measured(SPANS), bad, None)
        for violation in caught.value.violations:
            assert violation.field.startswith("rebalance.")
            assert violation.description.strip()

    @pytest.mark.parametrize("profile", [None, PROFILE], ids=["all heads", "profile"])
    def test_the_engine_does_what_the_plan_says(self, wanted: Rebalance, profile: Profile | None) -> None:
        """Shares, contributions and log-probabilities equal the float64 reference under the plan.

        Without a bias the reference is the model as it is.
        """
        steered = steer(self.policy, wanted, profile)
        got, want = steered.engine, steered.reference
        assert _gap(got.logprobs, want.logprobs) < TOLERANCE
        assert _gap(got.masses, want.masses) < TOLERANCE
        assert _gap(got.norms, want.norms) < TOLERANCE
        if steered.plan.bias is not None:
            effect = max(_gap(want.masses, steered.plain.masses), _gap(want.logprobs, steered.plain.logprobs))
            assert effect > VISIBLE, "this request changes too little to be tested; make it stronger"

    def test_the_engine_keeps_the_promise_of_a_share_rule(self, wanted: Rebalance) -> None:
        """In every layer and head the shares of a single row are what the rule says."""
        if wanted.scope is Scope.GENERATED:
            pytest.skip("the single row belongs to the prompt, which scope GENERATED leaves alone")
        rows = list(single_row(self.policy, wanted))
        if not rows:
            pytest.skip("this plan has no share rule")
        assert [broken for row in rows if (broken := broken_promise(*row))] == []

    def _plan(self, measured: Measurement, wanted: Rebalance, profile: Profile | None) -> RebalancePlan:
        try:
            return plan_bias(self.policy, measured, wanted, profile)
        except PluginError as error:
            if (broke := error.__cause__) is None:
                raise
            field = keyed("rebalance.parameters", next(iter(self.policy.parameters), "name"))
            raise AssertionError(
                f"policy {self.policy.name!r} failed with {type(broke).__name__}: {broke}; a wrong parameter is "
                f"InvalidRequest.field({field!r}, ...), a measurement without use is a plan without a bias and a reason"
            ) from broke


def _id(request: Rebalance) -> str:
    """What distinguishes a request, as a test's name."""
    scope = [f"scope={request.scope.name}"] if request.scope else []
    return json.dumps({**request.parameters, **request.bias}).replace('"', "") + "".join(scope)


def _documented(policy: RebalancePolicy, key: str) -> str:
    """The documented name of a parameter: itself, or the one that ends in `.SPAN`."""
    stems = [name for name in policy.parameters if name.endswith(PER_SPAN)]
    return next((name for name in stems if key.startswith(name.removesuffix("SPAN"))), key)


def _measurements(wanted: Rebalance, policy: RebalancePolicy) -> Iterator[Measurement]:
    """Made-up measurements of one span and of several, among them a span that contributes nothing."""
    for ids in _TRIED_ON:
        if wrong_parameters(policy, wanted.parameters, ids) or not set(wanted.bias) <= set(ids):
            continue
        yield _measured(ids)
        yield _measured(ids, silent=True)


def _measured(ids: Sequence[str], *, silent: bool = False) -> Measurement:
    """Numbers drawn with the number of spans as the seed; `silent`: the last span has none."""
    draw = random.Random(len(ids))
    spans = SpanMap(tuple(SpanTokens(span, 5 * k, 5 * k + 1 + k) for k, span in enumerate(ids)), 5 * len(ids))

    def numbers() -> tuple[float, ...]:
        drawn = [draw.uniform(0.1, 1.0) for _ in range(len(ids) + 1)]
        if silent:
            drawn[-1] = 0.0
        return tuple(number / sum(drawn) for number in drawn)

    cubes = [tuple(tuple(numbers() for _ in range(HEADS)) for _ in range(LAYERS)) for _ in range(2)]
    return Measurement(spans, norms=cubes[0], masses=cubes[1], rows=7)


def _permuted(measured: Measurement, order: Sequence[int]) -> Measurement:
    """The same spans with the same numbers, standing in another order."""
    spans = measured.span_map.spans
    end, moved = 0, []
    for k in order:
        moved.append(SpanTokens(spans[k].span_id, end, end + len(spans[k])))
        end += len(spans[k])
    norms, masses = (
        tuple(tuple((head[0], *(head[k + 1] for k in order)) for head in layer) for layer in cube)
        for cube in (measured.norms, measured.masses)
    )
    return Measurement(SpanMap(tuple(moved), end), norms, masses, measured.rows)


def _gap(a: Tensor, b: Tensor) -> float:
    """Largest difference; NaN anywhere is infinite."""
    return float((a - b).abs().nan_to_num(nan=float("inf")).max())
