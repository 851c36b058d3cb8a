"""Policy `target`: every row that reads attends to chosen spans with exactly the shares asked for.

Rows and heads differ in what they attend to, so no one epsilon gives all of them the same share: the rule is solved row
by row inside attention (`xmguard.attention.shares`), and this policy only says which shares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from xmguard.bias import MAX_SHARES, MIN_SHARE, AttentionBias, RebalancePlan, TargetShares
from xmguard.errors import FieldViolation, InvalidRequest, keyed
from xmguard.measurement import Measurement
from xmguard.profile import Profile
from xmguard.request import Rebalance, Scope


class Target:
    """Fixed shares of the attention."""

    name = "target"
    summary = "Give chosen spans exact shares of every reading row's attention; the rest shares what is left as before."
    parameters: Mapping[str, str] = {
        "share": f"share of attention for the span with the smallest contribution, {MIN_SHARE:g} to {MAX_SHARES:g}",
        "share.SPAN": f"the same for one span by its id; several may be given, their sum at most {MAX_SHARES:g}",
    }

    def plan(self, measurement: Measurement, request: Rebalance, profile: Profile | None) -> RebalancePlan:
        """Shares for the spans named, or for the span that contributes least.

        Raises:
            InvalidRequest: `share` next to `share.SPAN`, a share out of range, or shares that leave the rest nothing.
        """
        shares = request.per_span("share")
        if "share" in request.parameters:
            if shares:
                raise InvalidRequest.field(
                    keyed("rebalance.parameters", "share"),
                    "chooses the span by itself; leave it out, or leave every share.SPAN out",
                )
            return self._smallest(measurement, request, profile)
        if not shares:
            return RebalancePlan(None, "no share is asked for; give share, or share.SPAN for chosen spans")
        return self._planned(shares, {span: f"share.{span}" for span in shares}, request, profile, "")

    def _smallest(self, measurement: Measurement, request: Rebalance, profile: Profile | None) -> RebalancePlan:
        contributions = measurement.contributions
        span = min(contributions, key=lambda name: contributions[name])
        chosen = ", the span with the smallest contribution"
        plan = self._planned({span: request.parameters["share"]}, {span: "share"}, request, profile, chosen)
        if len(contributions) < 2:
            return RebalancePlan(None, "one span alone has no other to be balanced against")
        return plan

    @staticmethod
    def _planned(
        shares: Mapping[str, float],
        parameters: Mapping[str, str],
        request: Rebalance,
        profile: Profile | None,
        chosen: str,
    ) -> RebalancePlan:
        wrong = [
            FieldViolation(
                keyed("rebalance.parameters", parameters[span]), f"is {share}; from {MIN_SHARE:g} to {MAX_SHARES:g}"
            )
            for span, share in shares.items()
            if not MIN_SHARE <= share <= MAX_SHARES  # NaN fails it too
        ]
        if wrong:
            raise InvalidRequest(wrong)
        total = math.fsum(shares.values())
        if total > MAX_SHARES:
            raise InvalidRequest.field(
                "rebalance.parameters",
                f"the shares sum to {total:g}; at most {MAX_SHARES:g}, the rest needs a share too",
            )
        bias = AttentionBias(
            scope=request.scope or Scope.READERS,
            rule=TargetShares(dict(shares)),
            heads=profile.heads if profile else None,
        )
        named = ", ".join(f"{share:.1%} on {span}" for span, share in shares.items())
        return RebalancePlan(bias, f"shares of attention: {named}{chosen}")
