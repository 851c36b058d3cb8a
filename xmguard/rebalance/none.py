"""Policy `none`: measure, and leave attention alone."""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.bias import RebalancePlan
from xmguard.measurement import Measurement
from xmguard.profile import Profile
from xmguard.request import Rebalance


class MeasureOnly:
    """Never steers."""

    name = "none"
    summary = "Measure the contributions and leave attention as it is."
    parameters: Mapping[str, str] = {}

    def plan(self, measurement: Measurement, request: Rebalance, profile: Profile | None) -> RebalancePlan:
        """No bias."""
        return RebalancePlan(None, "the policy none only measures")
