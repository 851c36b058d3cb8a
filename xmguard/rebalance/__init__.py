"""Rebalancing policies: from a measurement to a bias per span, or to a rule that attention solves row by row.

One policy per file; pure, without tensors.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import RebalancePolicy
from xmguard.hookspecs import hookimpl
from xmguard.rebalance.fixed import Fixed
from xmguard.rebalance.floor import Floor
from xmguard.rebalance.none import MeasureOnly
from xmguard.rebalance.soften import Soften
from xmguard.rebalance.target import Target


@hookimpl
def xmguard_policies() -> Iterable[RebalancePolicy]:
    """The built-in policies."""
    return [MeasureOnly(), Fixed(), Target(), Floor(), Soften()]
