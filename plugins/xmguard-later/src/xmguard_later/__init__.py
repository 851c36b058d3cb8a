"""Rebalancing policy `later`: adds epsilon to the last span of the context.

Language models lean on what they read first, also when every source is in the same language; the paper behind xmguard
(section 3) finds more conflicts noticed once later context is weighted up. The policy looks at the order of the spans
only, never at how much each contributes, and knows nothing of engines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from xmguard.bias import MAX_EPSILON, AttentionBias, RebalancePlan
from xmguard.contracts import RebalancePolicy
from xmguard.errors import InvalidRequest, keyed
from xmguard.hookspecs import hookimpl
from xmguard.measurement import Measurement
from xmguard.profile import Profile
from xmguard.request import Rebalance, Scope

DEFAULT_EPSILON = 1.0


class Later:
    """Lifts the last span."""

    name = "later"
    summary = "Add epsilon (nats) to the last span, because models rely more on what they read first."
    parameters: Mapping[str, str] = {
        "epsilon": f"nats, 0 to {MAX_EPSILON:g}, added to the last span; default {DEFAULT_EPSILON:g}"
    }

    def plan(self, measurement: Measurement, request: Rebalance, profile: Profile | None) -> RebalancePlan:
        """A bias on the last span, or the reason why there is none.

        Raises:
            InvalidRequest: epsilon is out of range or NaN.
        """
        epsilon = request.parameters.get("epsilon", DEFAULT_EPSILON)
        if not 0.0 <= epsilon <= MAX_EPSILON:  # also refuses NaN, which compares false
            field = keyed("rebalance.parameters", "epsilon")
            raise InvalidRequest.field(field, f"is {epsilon}; from 0 to {MAX_EPSILON:g} nats")
        spans = measurement.span_map.ids
        if len(spans) < 2:
            return RebalancePlan(None, "one span has no earlier one to be weighed against")
        if epsilon == 0.0:
            return RebalancePlan(None, "epsilon is 0, which changes nothing")
        last = spans[-1]
        heads = profile.heads if profile else None
        bias = AttentionBias({last: epsilon}, request.scope or Scope.READERS, heads=heads)
        return RebalancePlan(bias, f"{epsilon:+g} nats on {last}, the last of {len(spans)} spans")


@hookimpl
def xmguard_policies() -> Iterable[RebalancePolicy]:
    """The policy of this plugin."""
    return [Later()]
