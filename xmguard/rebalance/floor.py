"""Policy `floor`: no span may fall far behind the most attended one, in any row that reads.

Rows that attend to a span enough already are left alone, which a constant epsilon cannot do. The rule is solved row by
row inside attention (`xmguard.attention.shares`); this policy only says how far behind is too far.
"""

from __future__ import annotations

from collections.abc import Mapping

from xmguard.bias import MAX_EPSILON, AttentionBias, FloorShares, RebalancePlan
from xmguard.errors import FieldViolation, InvalidRequest, keyed
from xmguard.measurement import Measurement
from xmguard.profile import Profile
from xmguard.request import Rebalance, Scope

DEFAULT_CAP = 2.0
"""Nats. A row that hardly reads a span at all would need any amount; e^2 is as far as `fixed` is usually taken."""


class Floor:
    """A least share relative to the most attended span."""

    name = "floor"
    summary = "Lift spans in the rows that attend to them less than a part of what the most attended span gets."
    parameters: Mapping[str, str] = {
        "minimum": "for every span: part of the most attended span's share, 0 to 1; 1 is parity, 0 asks for nothing",
        "minimum.SPAN": "the same for one span by its id, in place of `minimum`",
        "cap": f"nats, above 0 to {MAX_EPSILON:g}: largest epsilon in any row; default {DEFAULT_CAP:g}",
    }

    def plan(self, measurement: Measurement, request: Rebalance, profile: Profile | None) -> RebalancePlan:
        """Floors for the spans named, or for all.

        Raises:
            InvalidRequest: a minimum or the cap is out of range.
        """
        parameters = request.parameters
        cap = parameters.get("cap", DEFAULT_CAP)
        wrong = [
            FieldViolation(keyed("rebalance.parameters", name), f"is {part}; from 0 to 1")
            for name, part in parameters.items()
            if name != "cap" and not 0.0 <= part <= 1.0  # NaN fails it too
        ]
        if not 0.0 < cap <= MAX_EPSILON:
            field = keyed("rebalance.parameters", "cap")
            wrong.append(FieldViolation(field, f"is {cap}; above 0 and at most {MAX_EPSILON:g} nats"))
        if wrong:
            raise InvalidRequest(wrong)
        spans = measurement.span_map.ids
        everywhere = dict.fromkeys(spans, parameters["minimum"]) if "minimum" in parameters else {}
        floors = {span: part for span, part in (everywhere | request.per_span("minimum")).items() if part > 0.0}
        if not floors:
            return RebalancePlan(None, "no minimum above 0 is asked for; give minimum, or minimum.SPAN for some spans")
        if len(spans) < 2:
            return RebalancePlan(None, "one span alone has no other to be balanced against")
        bias = AttentionBias(
            scope=request.scope or Scope.READERS,
            rule=FloorShares(floors, cap),
            heads=profile.heads if profile else None,
        )
        named = ", ".join(f"{span} at {part:.0%}" for span, part in floors.items())
        return RebalancePlan(bias, f"floors relative to the most attended span: {named}, with at most {cap:+g} nats")
