"""The recording and alert rules: by promtool's own cases, by what is written about them, and around a real server."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.scripted import REQUEST, ordinary, serving
from tests.serving.prometheus import DEPLOY, installed, prometheus, promtool
from xmguard.client import Client
from xmguard.contracts import GuardEvent
from xmguard.deadline import Stop
from xmguard.request import AnswerRequest
from xmguard.response import AnswerResponse, Done, Event, Imbalance, SpanReport
from xmguard.span import Media, Span

RULES = DEPLOY / "prometheus"
CASES = sorted((RULES / "tests").glob("*.yml"))


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@installed
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_alerts_fire_when_they_must_and_only_then(case: Path) -> None:
    assert promtool("test", "rules", case).startswith("0 ")


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    told: dict[str, set[bool]] = {}
    for case in CASES:
        for test in yaml.safe_load(case.read_text())["tests"]:
            # A case that only waits before it fires shows nothing about what else must not fire it.
            fired = {check["alertname"]: False for check in test["alert_rule_test"]}
            for check in test["alert_rule_test"]:
                fired[check["alertname"]] |= bool(check["exp_alerts"])
            for alert, did in fired.items():
                told.setdefault(alert, set()).add(did)
    whole = {rule["alert"] for rule in alerts()}
    assert told.keys() == whole
    alone = {alert for alert, cases in told.items() if cases != {True, False}}
    assert alone == set()


def test_every_alert_leads_to_its_section_of_the_runbook() -> None:
    runbook = (DEPLOY / "runbook.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", runbook, re.M | re.S))
    assert sections.keys() == {rule["alert"] for rule in alerts()}
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"deploy/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
    for section in sections.values():
        for part in ("Symptom", "Meaning", "Look at", "Do"):
            assert f"- **{part}" in section
    links = set(re.findall(r"\(#(\w+)\)", runbook))
    assert links <= {section.lower() for section in sections}


# -- a real server, the real Prometheus --------------------------------------------------------------------------------

SECONDS = {"7d": "60s", "6h": "60s", "1d": "60s", "1h": "5s", "30m": "3s", "15m": "0s", "10m": "3s", "5m": "3s"}
"""The rules' own durations, and what they are when a week passes in a minute."""


def hurried(folder: Path, target: str) -> Path:
    """The configuration and the rules as they are, with short times."""
    for name in ("recording.yml", "alerts.yml"):
        text = (RULES / name).read_text()
        text = re.sub(r"\[(\w+)\]", lambda found: f"[{SECONDS[found[1]]}]", text)
        text = re.sub(
            r"(for|interval): (\w+)", lambda found: f"{found[1]}: {'0s' if found[1] == 'for' else '200ms'}", text
        )
        (folder / name).write_text(text)
    config = (RULES / "prometheus.yml").read_text().replace("127.0.0.1:9464", target).replace("15s", "200ms")
    file = folder / "prometheus.yml"
    file.write_text(config)
    return file


def with_imbalance(whole: float, per_token: float, modality: str = "text") -> AnswerResponse:
    spans = (SpanReport("s1", modality, "en"), SpanReport("s2", modality, "en"))
    return AnswerResponse(
        spans=spans, imbalance=Imbalance(log_ratio_before=whole, log_ratio_per_token_before=per_token)
    )


def drifted(request: AnswerRequest, stop: Stop) -> Iterator[Event]:
    """Texts are read far less evenly; where there is a video, only the lengths of the spans are others."""
    for event in ordinary(request, stop):
        if isinstance(event, Done):
            video = any(span.media for span in request.spans)
            whole, per_token = (2.5, 0.2) if video else (2.2, 2.4)
            changed = Imbalance(log_ratio_before=whole, log_ratio_per_token_before=per_token)
            yield Done(replace(event.response, imbalance=changed))
        else:
            yield event


LONGER = AnswerRequest(
    spans=(Span(id="s1", text="It rose.", language="en"), Span(id="s2", media=Media("video/mp4", b"x"), language="en")),
    question="By how much?",
)
SAME_LANGUAGE = replace(REQUEST, spans=(REQUEST.spans[0], replace(REQUEST.spans[1], language="en")))


@installed
def test_an_imbalance_that_drifts_fires_its_alert_and_longer_spans_do_not(tmp_path: Path) -> None:
    with serving(drifted) as served, Client(served.address) as client:
        config = hurried(tmp_path, urlsplit(served.metrics_url).netloc)
        with prometheus(config) as seen:
            week = [GuardEvent("answer", REQUEST, with_imbalance(0.3, 0.2, kind), None) for kind in ("text", "smell")]
            usual = 'increase(xmguard_attention_imbalance_per_token_log_ratio_count{phase="before"}[60s]) > 6000'
            deadline = time.monotonic() + 30
            while len(seen.query(usual)) < 2 and time.monotonic() < deadline:
                for event in week * 500:
                    served.metrics.observe(event)
                time.sleep(0.1)
            assert seen.query('ALERTS{alertname="XmguardImbalanceDrift"}') == []
            fired: list[dict[str, Any]] = []
            asked = 0
            while not fired and time.monotonic() < deadline:
                while asked < 120:  # few beside those of the week
                    client.answer(SAME_LANGUAGE)
                    client.answer(LONGER)
                    asked += 1
                time.sleep(0.1)
                fired = seen.query('ALERTS{alertname="XmguardImbalanceDrift", alertstate="firing"}')
            grown = seen.query(
                "job:xmguard_imbalance_log_ratio:mean_1h - job:xmguard_imbalance_log_ratio:mean_7d > 0.1"
            )
    assert [alert["metric"]["modality_pair"] for alert in fired] == ["text-text"]
    assert fired[0]["metric"]["language"] == "same"
    # What must not fire was there to be seen.
    assert {series["metric"]["modality_pair"] for series in grown} == {"text-text", "other"}
