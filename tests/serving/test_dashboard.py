"""The dashboard and the rules ask only for what a live server tells: every expression is parsed, every metric found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY, Gauge
from prometheus_client.parser import text_string_to_metric_families

from tests.scripted import REQUEST, eventually, scrape, serving
from tests.serving.prometheus import DEPLOY
from xmguard.client import Client

DASHBOARD = json.loads((DEPLOY / "grafana/xmguard.json").read_text())
PROMETHEUS_OWN = {"up", "ALERTS"}
ROWS = (
    "Traffic",
    "Latency",
    "Queue and brownout",
    "Conflicts",
    "Imbalance, before and after rebalancing",
    "Contributions",
    "Workers",
    "Engine",
)


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load((DEPLOY / f"prometheus/{name}.yml").read_text()) for name in ("recording", "alerts")]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def asked_by_dashboard() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (annotation["expr"] for annotation in DASHBOARD["annotations"]["list"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield re.fullmatch(r"label_values\((.*), \w+\)", variable["definition"])[1]


def parsed(expression: str) -> promql_parser.Expr:
    """Raises ValueError for what is no PromQL; Grafana's own variables stand for what it puts there."""
    filled = expression.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*")
    assert "$" not in filled, f"a variable that is not known: {expression}"
    return promql_parser.parse(filled)


def selectors(expression: Any) -> Iterator[promql_parser.VectorSelector]:
    """Every selector in an expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
        return
    for part in ("expr", "lhs", "rhs", "vector_selector", "args"):
        inner = getattr(expression, part, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None:
                yield from selectors(one)


@pytest.fixture(scope="module")
def scraped() -> dict[str, set[str]]:
    """Names of the samples of a server in use, each with its labels."""
    usage = Gauge("vllm:kv_cache_usage_perc", "As vLLM tells it.", ["engine"], registry=REGISTRY)
    usage.labels("0").set(0.25)
    try:
        with serving() as served, Client(served.address) as client:
            served.guard.observer_failures["broken"] = 1
            served.metrics.watch_certificate(lambda: 1.0)  # as TLS would
            client.answer(REQUEST)
            client.check(replace(REQUEST, question="And now?"))
            eventually(lambda: "observer_failures_total{" in scrape(served.metrics_url))
            eventually(lambda: "xmguard_kv_cache_usage_ratio" in scrape(served.metrics_url), seconds=10)
            page = scrape(served.metrics_url)
    finally:
        REGISTRY.unregister(usage)
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def test_what_the_dashboard_and_the_rules_ask_for_is_there(scraped: dict[str, set[str]]) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = scraped.keys() | recorded | PROMETHEUS_OWN
    missing = set()
    used = set()
    for expression in [*asked_by_dashboard(), *(rule["expr"] for rule in rules())]:
        for selector in selectors(parsed(expression)):
            used.add(selector.name)
            if selector.name not in known:
                missing.add(selector.name)
            elif selector.name in scraped:
                asked = {matcher.name for matcher in selector.matchers.matchers}
                given = scraped[selector.name] | {"job", "instance"}
                assert asked <= given, f"{selector.name} has no label {asked - given}"
    assert missing == set()
    shown = {name for name in scraped if name.startswith("xmguard_")}
    assert {_family(name) for name in shown} == {_family(name) for name in used if name in shown}, "not shown anywhere"
    assert recorded <= used


def test_every_metric_is_described_for_who_operates(scraped: dict[str, set[str]]) -> None:
    described = set(re.findall(r"`((?:xmguard|grpc)_\w+)`", (DEPLOY / "README.md").read_text()))
    told = {_family(name) for name in scraped if name.startswith(("xmguard_", "grpc_"))}
    assert told - described == set()


def test_what_is_grouped_by_is_a_label_of_what_is_summed(scraped: dict[str, set[str]]) -> None:
    for expression in [*asked_by_dashboard(), *(rule["expr"] for rule in rules())]:
        for aggregate in aggregates(parsed(expression)):
            by = set(aggregate.modifier.labels) if aggregate.modifier else set()
            for selector in selectors(aggregate):
                if selector.name in scraped:
                    given = scraped[selector.name] | {"job", "instance"}
                    assert by <= given, f"{selector.name} has no label {by - given} in {expression}"


def aggregates(expression: Any) -> Iterator[Any]:
    """Every aggregation in an expression."""
    if isinstance(expression, promql_parser.AggregateExpr):
        yield expression
    for part in ("expr", "lhs", "rhs", "vector_selector", "args"):
        inner = getattr(expression, part, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None:
                yield from aggregates(one)


def test_an_expression_that_is_wrong_is_seen() -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed("sum by (job) rate(up[5m]")
    found = [selector.name for selector in selectors(parsed("a{b='c'} + on (x) sum(rate(d[$__rate_interval])) / -e"))]
    assert found == ["a", "d", "e"]


def test_the_dashboard_has_its_rows_and_asks_the_data_source_that_is_chosen() -> None:
    panels = DASHBOARD["panels"]
    assert tuple(panel["title"] for panel in panels if panel["type"] == "row") == ROWS
    charts = [panel for panel in panels if panel["type"] != "row"]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for chart in charts:
        assert chart["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in chart["targets"])
        assert chart["title"]
        assert chart["description"]
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert not any(overlap(one, other) for number, one in enumerate(places) for other in places[:number])
    titles = {panel["title"] for panel in panels}
    named = set(re.findall(r'"([A-Z][a-z][^"]*)"', (DEPLOY / "runbook.md").read_text()))
    assert named <= titles, "the runbook names panels that are not there"


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(one[at] < other[at] + other[size] and other[at] < one[at] + one[size] for at, size in ("xw", "yh"))


def _family(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)
