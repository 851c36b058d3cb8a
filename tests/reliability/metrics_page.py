"""R15: the page of metrics, and the alerts that are made of it."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.reliability.leaving import mixed
from tests.reliability.stage import ROOT, Absent, Stage, misses, percentile
from tests.reliability.target import Finding, Measure, Skip, Target
from tests.scripted import REQUEST, scrape
from xmguard.client import Client, Retries

RULES = ROOT / "deploy" / "prometheus"


def metrics_page(stage: Stage) -> Iterator[Finding]:
    with stage.stub("--workers", "2", concurrency=4) as served:
        with Client(served.address, retries=Retries(attempts=1)) as client:
            for _ in range(20):
                client.answer(REQUEST)
                client.check(REQUEST)
                list(client.stream(REQUEST))
        stage.do(mixed(served, 300, only_cancels=False))
        times = []
        for _ in range(stage.count(30, 300)):
            began = time.monotonic()
            page = scrape(served.metrics_url)
            times.append(time.monotonic() - began)
        series = [line for line in page.splitlines() if line and not line.startswith("#")]
        yield Measure("series", len(series), 500)
        yield Measure("size of a page", len(page) / 1024, 256, "KiB")
        yield Measure("scrape p99", 1000 * percentile(times, 0.99), 100, "ms", slack=5)
        request = urllib.request.Request(served.metrics_url, headers={"Accept": "application/openmetrics-text"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            yield misses("pages refused to who asks for OpenMetrics", int(answer.status != 200))
    try:
        promtool = stage.tool("promtool")
    except Absent as absent:
        yield Skip("promtool's findings, and tests of alerts", f"{absent}: apt-get install prometheus")
        return
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    findings = (checked.stdout + checked.stderr).split("\n")
    yield misses("findings of `promtool check metrics`", len([line for line in findings if line.strip()]))
    yield from _alerts(promtool)


def _alerts(promtool: str) -> Iterator[Finding]:
    """Each alert has a test in which it fires and one in which it does not, and all tests hold."""
    rules = [path for path in sorted(RULES.glob("*.yml")) if "groups" in (yaml.safe_load(path.read_text()) or {})]
    alerts = {
        rule["alert"]
        for path in rules
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    if not alerts:
        yield Skip("tests of alerts", "there are no alerts in deploy/prometheus")
        return
    tests = sorted((RULES / "tests").glob("*.yml"))
    failed = [path.name for path in tests if not _holds(promtool, path)]
    fires, quiet = set(), set()
    for path in tests:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test.get("alert_rule_test", ()):
                (fires if case.get("exp_alerts") else quiet).add(case["alertname"])
    yield Measure("alerts", len(alerts), 1, at_least=True)
    yield misses("files of alert tests that fail", len(failed))
    yield misses(f"alerts without a test that they fire{_named(alerts - fires)}", len(alerts - fires))
    yield misses(f"alerts without a test that they do not{_named(alerts - quiet)}", len(alerts - quiet))


def _holds(promtool: str, path: Path) -> bool:
    return subprocess.run([promtool, "test", "rules", path], capture_output=True, check=False).returncode == 0


def _named(alerts: set[str]) -> str:
    return f" ({', '.join(sorted(alerts))})" if alerts else ""


TARGETS = (
    Target(
        "R15",
        "Metrics and alerts",
        metrics_page,
        "everything is enforced but the time of a scrape, which may take 5 times its bound: the front that writes the "
        "page shares the cores",
    ),
)
