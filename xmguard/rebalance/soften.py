"""Policy `soften`: the shares of the spans among themselves become flatter, and their sum stays.

It names no span and needs no measurement: whatever each row leans on, it leans on less, and what is not a span keeps
exactly what it had. Solved row by row inside attention (`xmguard.attention.shares`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from xmguard.bias import AttentionBias, RebalancePlan, SoftenShares
from xmguard.errors import InvalidRequest, keyed
from xmguard.measurement import Measurement
from xmguard.profile import Profile
from xmguard.request import Rebalance, Scope

DEFAULT_TEMPERATURE = 2.0
"""Halves the logarithm of every ratio between two spans."""


class Soften:
    """Flatter shares."""

    name = "soften"
    summary = (
        "Make each reading row's shares of the spans proportional to share^(1 / temperature), with their sum kept."
    )
    parameters: Mapping[str, str] = {
        "temperature": (
            "1 or more: 1 changes nothing, the larger the nearer to equal shares; "
            f"default {DEFAULT_TEMPERATURE:g}, which halves the log of every ratio between two spans"
        )
    }

    def plan(self, measurement: Measurement, request: Rebalance, profile: Profile | None) -> RebalancePlan:
        """The same rule for all spans.

        Raises:
            InvalidRequest: the temperature is below 1 or not finite.
        """
        temperature = request.parameters.get("temperature", DEFAULT_TEMPERATURE)
        if not 1.0 <= temperature < math.inf:  # NaN fails it too
            field = keyed("rebalance.parameters", "temperature")
            raise InvalidRequest.field(field, f"is {temperature}; a finite number, 1 or more")
        if len(measurement.span_map) < 2:
            return RebalancePlan(None, "one span alone has no other to be balanced against")
        if temperature == 1.0:
            return RebalancePlan(None, "temperature is 1, which changes nothing")
        bias = AttentionBias(
            scope=request.scope or Scope.READERS,
            rule=SoftenShares(temperature),
            heads=profile.heads if profile else None,
        )
        return RebalancePlan(bias, f"shares of the spans softened with temperature {temperature:g}")
