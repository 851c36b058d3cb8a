"""The built-in policies under the contract that plugin authors test theirs with, on a tiny real model."""

import math

from xmguard.bias import REMOVE
from xmguard.rebalance.fixed import Fixed
from xmguard.rebalance.floor import Floor
from xmguard.rebalance.none import MeasureOnly
from xmguard.rebalance.soften import Soften
from xmguard.rebalance.target import Target
from xmguard.request import Rebalance, Scope
from xmguard.testing import PolicyContract


class TestNone(PolicyContract):
    policy = MeasureOnly()
    requests = [Rebalance("none"), Rebalance("none", scope=Scope.ALL)]


class TestFixed(PolicyContract):
    policy = Fixed()
    requests = [
        Rebalance("fixed", {"epsilon": 1.5}),
        Rebalance("fixed", {"epsilon": 0.0}),
        Rebalance("fixed", bias={"s2": 2.0, "s1": -1.0}),
        Rebalance("fixed", bias={"s1": REMOVE}),
        Rebalance("fixed", bias={"s2": 2.0}, scope=Scope.ALL),
        Rebalance("fixed", bias={"s2": 2.0}, scope=Scope.GENERATED),
    ]
    refused = [
        Rebalance("fixed"),
        Rebalance("fixed", {"epsilon": 1.0}, {"s1": 1.0}),
        *(Rebalance("fixed", {"epsilon": epsilon}) for epsilon in (-1.0, 20.5, math.inf, math.nan)),
    ]


class TestTarget(PolicyContract):
    policy = Target()
    requests = [
        Rebalance("target"),
        Rebalance("target", {"share": 0.25}),
        Rebalance("target", {"share.s2": 0.3}),
        Rebalance("target", {"share.s1": 0.2, "share.s2": 0.3, "share.s3": 0.4}),
        Rebalance("target", {"share.s2": 0.3}, scope=Scope.GENERATED),
        Rebalance("target", {"share.s2": 0.3}, scope=Scope.ALL),
    ]
    refused = [
        Rebalance("target", {"share": 0.2, "share.s1": 0.2}),
        Rebalance("target", {"share.s1": 0.6, "share.s2": 0.4}),
        *(Rebalance("target", {name: share}) for name in ("share", "share.s1") for share in (0.0, 1.0, -0.1, math.nan)),
    ]


class TestFloor(PolicyContract):
    policy = Floor()
    requests = [
        Rebalance("floor"),
        Rebalance("floor", {"minimum": 0.5}),
        Rebalance("floor", {"minimum": 1.0, "cap": 20.0}),
        Rebalance("floor", {"minimum": 0.8, "cap": 0.5}),
        Rebalance("floor", {"minimum.s2": 1.0}),
        Rebalance("floor", {"minimum": 0.9, "minimum.s1": 0.0, "cap": 4.0}),
        Rebalance("floor", {"minimum": 0.5}, scope=Scope.GENERATED),
    ]
    refused = [
        *(Rebalance("floor", {name: part}) for name in ("minimum", "minimum.s1") for part in (-0.1, 1.1, math.nan)),
        *(Rebalance("floor", {"minimum": 0.5, "cap": cap}) for cap in (0.0, -1.0, 20.5, math.inf, math.nan)),
    ]


class TestSoften(PolicyContract):
    policy = Soften()
    requests = [
        Rebalance("soften"),
        Rebalance("soften", {"temperature": 5.0}),
        Rebalance("soften", {"temperature": 1.0}),
        Rebalance("soften", scope=Scope.GENERATED),
        Rebalance("soften", scope=Scope.ALL),
    ]
    refused = [Rebalance("soften", {"temperature": value}) for value in (0.9, 0.0, -1.0, math.inf, math.nan)]
