"""What operators see of the real server: metrics and logs."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import product

import pytest
from prometheus_client import generate_latest

from tests.scripted import (
    REQUEST,
    eventually,
    health,
    scrape,
    serving,
)
from xmguard import wire
from xmguard.client import Client
from xmguard.contracts import GuardEvent
from xmguard.errors import ErrorCode, ModelNotFound, Reason
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest, Rebalance
from xmguard.response import AnswerResponse, ConflictVerdict, Decision, Imbalance, Rebalancing, SpanReport
from xmguard.span import Media, Span
from xmguard_server.metrics import LANGUAGES, Metrics

# -- metrics -----------------------------------------------------------------------------------------------------------


def exercised_page() -> str:
    strange = AnswerRequest(
        spans=(Span(id="a", media=Media("video/mp4", b"x")), Span(id="b", text="x", language="tlh")),
        question="q?",
        rebalance=Rebalance(policy="made-up"),
    )
    with serving() as served, Client(served.address) as client:
        client.answer(REQUEST)
        list(client.stream(REQUEST))
        client.check(REQUEST)
        client.answer(strange)
        client.answer(question="q?", spans=[Span(text="a", language="zh-Hant"), Span(text="?", language="und")])
        with pytest.raises(ModelNotFound):
            client.model("another")
        health(served.address)
        served.guard.observer_failures["broken"] = 2
        eventually(lambda: 'observer="broken"' in scrape(served.metrics_url))
        return scrape(served.metrics_url)


def test_metrics_count_what_happened() -> None:
    page = exercised_page()
    for line in (
        'xmguard_requests_total{code="OK",method="Answer"} 3.0',
        'xmguard_requests_total{code="NOT_FOUND",method="GetModel"} 1.0',
        'xmguard_request_duration_seconds_count{method="StreamAnswer"} 1.0',
        "xmguard_time_to_first_token_seconds_count 4.0",
        "xmguard_queue_time_seconds_count 5.0",
        "xmguard_prompt_tokens_total 160.0",
        "xmguard_generated_tokens_total 12.0",
        "xmguard_evidence_tokens_total 48.0",
        "xmguard_requests_running 0.0",
        "xmguard_requests_waiting 0.0",
        'xmguard_conflicts_total{decision="conflict",language="cross",modality_pair="text-text"} 3.0',
        'xmguard_conflicts_total{decision="conflict",language="cross",modality_pair="other"} 1.0',
        'xmguard_conflicts_total{decision="conflict",language="unknown",modality_pair="text-text"} 1.0',
        'xmguard_attention_imbalance_log_ratio_sum{language="cross",modality_pair="text-text",phase="before"} 4.0',
        'xmguard_attention_imbalance_log_ratio_sum{language="cross",modality_pair="text-text",phase="after"} 1.0',
        'xmguard_attention_imbalance_log_ratio_sum{language="unknown",modality_pair="text-text",phase="after"} 0.5',
        "xmguard_attention_imbalance_per_token_log_ratio_count"
        '{language="cross",modality_pair="other",phase="before"} 1.0',
        'xmguard_span_contribution_share_count{language="es",modality="text"} 3.0',
        'xmguard_span_contribution_share_count{language="zh",modality="text"} 1.0',
        'xmguard_span_contribution_share_count{language="unknown",modality="text"} 1.0',
        'xmguard_span_contribution_share_count{language="other",modality="text"} 1.0',
        'xmguard_span_contribution_share_count{language="en",modality="other"} 1.0',
        'xmguard_rebalances_total{outcome="applied",policy="fixed"} 3.0',
        'xmguard_rebalances_total{outcome="applied",policy="other"} 1.0',
        'xmguard_rejected_total{reason="MODEL_NOT_FOUND"} 1.0',
        'xmguard_observer_failures_total{observer="broken"} 2.0',
        'grpc_server_handled_total{grpc_code="OK",grpc_method="StreamAnswer",grpc_service="xmguard.v1.GuardService",'
        'grpc_type="server_stream"} 1.0',
        'grpc_server_handled_total{grpc_code="OK",grpc_method="Check",grpc_service="grpc.health.v1.Health",'
        'grpc_type="unary"} 1.0',
    ):
        assert line in page.splitlines()
    assert 'xmguard_build_info{version="' in page
    assert "made-up" not in page
    assert "tlh" not in page


def test_every_label_together_stays_below_500_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMGUARD_PLUGINS", "")
    metrics = Metrics(load_plugins())
    metrics.watch(running=lambda: 1, waiting=lambda: 1)
    metrics.watch_observers(lambda: {metrics.name: 1})
    for method, code in product(wire.METHODS, [*ErrorCode.__members__, "OK", "UNKNOWN"]):
        metrics.request_handled(method.name, code, 0.1)
    for reason in Reason:
        metrics.rejected(reason)
    metrics.waited(0.1)
    # Languages with a label, two without, and none; of pairs, those say all of same, cross and unknown.
    reports = [
        SpanReport("s", modality, language, share_after=0.5)
        for modality, language in product(["text", "video"], [*LANGUAGES, "tlh", "eo", "und"])
    ]
    spans = [(), *((report,) for report in reports), *product(reports, reports)]
    for decision, context in product(Decision, spans):
        imbalance = Imbalance(1.0, 1.0, log_ratio_per_token_before=1.0, log_ratio_per_token_after=1.0)
        response = AnswerResponse(
            verdict=ConflictVerdict(decision), spans=context, imbalance=imbalance if len(context) > 1 else Imbalance()
        )
        metrics.observe(GuardEvent("answer", AnswerRequest(), response, 0.1))
    for policy, applied in product(["none", "fixed", "made-up"], [True, False]):
        response = AnswerResponse(rebalancing=Rebalancing(applied, policy))
        metrics.observe(GuardEvent("answer", AnswerRequest(), response, 0.1))
    page = generate_latest(metrics.registry).decode()
    series = [line for line in page.splitlines() if line.startswith("xmguard_")]
    seen = {key: set(re.findall(rf'\b{key}="(.*?)"', page)) for key in ("phase", "modality_pair", "language")}
    assert seen == {
        "phase": {"before", "after"},
        "modality_pair": {"single", "text-text", "other"},
        "language": {*LANGUAGES, "unknown", "other", "same", "cross"},
    }
    assert 400 < len(series) < 500


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_has_no_findings() -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exercised_page(), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_the_access_log_has_one_line_per_call_and_no_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with serving() as served, Client(served.address) as client:
        client.answer(REQUEST)
    (record,) = [record for record in caplog.records if record.name == "xmguard_server.access"]
    assert record.fields["method"] == "Answer"
    assert record.fields["code"] == "OK"
    assert "25%" not in str(record.__dict__)
