"""Policy `fixed`: the paper's manipulation (section 3, Eq. 2), a constant epsilon on chosen spans.

With `bias` the caller chooses spans and values. With the parameter `epsilon` alone the span with the smallest
contribution is lifted, as the paper does.
"""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.bias import MAX_EPSILON, AttentionBias, HeadFactors, RebalancePlan
from xmguard.errors import InvalidRequest, keyed
from xmguard.measurement import Measurement
from xmguard.profile import Profile
from xmguard.request import Rebalance, Scope

_EPSILON = keyed("rebalance.parameters", "epsilon")


class Fixed:
    """A constant bias."""

    name = "fixed"
    summary = "Add a constant epsilon (nats) to the attention logits of chosen spans; minus infinity removes a span."
    parameters: Mapping[str, str] = {
        "epsilon": "nats, 0 to 20, added to the span with the smallest contribution when `bias` names no span"
    }

    def plan(self, measurement: Measurement, request: Rebalance, profile: Profile | None) -> RebalancePlan:
        """The bias asked for.

        Raises:
            InvalidRequest: neither or both of `bias` and `epsilon`, or an `epsilon` out of range. What `bias` holds has
                been checked with the request (`xmguard.validation`).
        """
        scope = request.scope or Scope.READERS
        heads = profile.heads if profile else None
        if request.bias and "epsilon" in request.parameters:
            raise InvalidRequest.field(
                _EPSILON,
                "chooses the span by itself; leave it out, or leave `bias` out",
            )
        if request.bias:
            return self._chosen(request.bias, scope, heads)
        if "epsilon" not in request.parameters:
            raise InvalidRequest.field(
                "rebalance.bias", "is empty; policy fixed needs an epsilon per span id, or the parameter `epsilon`"
            )
        return self._smallest(measurement, request.parameters["epsilon"], scope, heads)

    @staticmethod
    def _chosen(bias: Mapping[str, float], scope: Scope, heads: HeadFactors | None) -> RebalancePlan:
        if all(epsilon == 0.0 for epsilon in bias.values()):
            return RebalancePlan(None, "every epsilon is 0, which changes nothing")
        named = ", ".join(f"{epsilon:+g} nats on {span}" for span, epsilon in bias.items() if epsilon)
        return RebalancePlan(AttentionBias(dict(bias), scope, heads=heads), f"the caller's bias: {named}")

    @staticmethod
    def _smallest(measurement: Measurement, epsilon: float, scope: Scope, heads: HeadFactors | None) -> RebalancePlan:
        if not 0.0 <= epsilon <= MAX_EPSILON:
            raise InvalidRequest.field(_EPSILON, f"is {epsilon}; from 0 to {MAX_EPSILON:g} nats")
        if epsilon == 0.0:
            return RebalancePlan(None, "epsilon is 0, which changes nothing")
        contributions = measurement.contributions
        if len(contributions) < 2:
            return RebalancePlan(None, "one span alone has no other to be balanced against")
        span = min(contributions, key=lambda name: contributions[name])
        return RebalancePlan(
            AttentionBias({span: epsilon}, scope, heads=heads),
            f"{epsilon:+g} nats on {span}, the span with the smallest contribution",
        )
