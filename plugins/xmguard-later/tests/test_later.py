from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from xmguard.context import SpanMap, SpanTokens
from xmguard.errors import InvalidRequest
from xmguard.measurement import Measurement
from xmguard.plugins import load_plugins
from xmguard.request import Rebalance, Scope
from xmguard.testing import PolicyContract

# The source folder, so that the tests also run where the plugin is not installed.
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
import xmguard_later


def measured(*ids: str) -> Measurement:
    """A measurement in which the first span contributes most, as primacy bias has it."""
    spans = tuple(SpanTokens(span, index, index + 1) for index, span in enumerate(ids))
    values = (1.0, *(float(len(ids) - index) for index in range(len(ids))))
    return Measurement(SpanMap(spans, len(ids)), norms=((values,),), masses=((values,),), rows=1)


def plan(*ids: str, **rebalance: object):
    return xmguard_later.Later().plan(measured(*ids), Rebalance(policy="later", **rebalance), None)


class TestLater(PolicyContract):
    policy = xmguard_later.Later()
    requests = [
        Rebalance("later"),
        Rebalance("later", {"epsilon": 1.5}),
        Rebalance("later", {"epsilon": 0.0}),
        Rebalance("later", scope=Scope.GENERATED),
    ]
    refused = [Rebalance("later", {"epsilon": epsilon}) for epsilon in (-0.1, 20.1, math.nan, math.inf, -math.inf)]
    depends_on_order = True


def test_lifts_only_the_last_span_by_one_nat_unless_told_otherwise():
    assert plan("a", "b", "c").bias.epsilon == {"c": 1.0}
    assert plan("a", "b", parameters={"epsilon": 2.5}).bias.epsilon == {"b": 2.5}


def test_keeps_the_scope_of_the_request():
    assert plan("a", "b").bias.scope is Scope.READERS
    assert plan("a", "b", scope=Scope.GENERATED).bias.scope is Scope.GENERATED


def test_says_why_it_does_nothing():
    assert plan("a").bias is None
    assert "one span" in plan("a").reason
    unchanged = plan("a", "b", parameters={"epsilon": 0.0})
    assert unchanged.bias is None
    assert "changes nothing" in unchanged.reason


def test_refuses_epsilon_out_of_range_with_the_range():
    with pytest.raises(InvalidRequest, match=r'rebalance\.parameters\["epsilon"\].*0 to 20'):
        plan("a", "b", parameters={"epsilon": 20.1})


def test_the_registry_finds_the_policy_and_its_owner(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XMGUARD_PLUGINS", "")  # registered here by hand, also where it is installed
    registry = load_plugins(extra={"later": xmguard_later})
    assert registry.policies.owners["later"] == "later"
    assert set(registry.policies.items["later"].parameters) == {"epsilon"}
