"""What operators see of the real server: metrics and logs."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.scripted import (
    REQUEST,
    health,
    scrape,
    serving,
)
from xmguard.client import Client
from xmguard.errors import (
    ModelNotFound,
)
from xmguard.request import AnswerRequest, Rebalance
from xmguard.span import Media, Span

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
        with pytest.raises(ModelNotFound):
            client.model("another")
        health(served.address)
        served.guard.observer_failures["broken"] = 2
        return scrape(served.metrics_url)


def test_metrics_count_what_happened() -> None:
    page = exercised_page()
    for line in (
        'xmguard_requests_total{code="OK",method="Answer"} 2.0',
        'xmguard_requests_total{code="NOT_FOUND",method="GetModel"} 1.0',
        'xmguard_request_duration_seconds_count{method="StreamAnswer"} 1.0',
        "xmguard_time_to_first_token_seconds_count 3.0",
        "xmguard_queue_time_seconds_count 4.0",
        "xmguard_prompt_tokens_total 120.0",
        "xmguard_generated_tokens_total 9.0",
        "xmguard_evidence_tokens_total 36.0",
        "xmguard_requests_running 0.0",
        "xmguard_requests_waiting 0.0",
        'xmguard_conflicts_total{decision="conflict",language="cross",modality_pair="text-text"} 3.0',
        'xmguard_conflicts_total{decision="conflict",language="cross",modality_pair="other-text"} 1.0',
        'xmguard_attention_imbalance_log_ratio_sum{phase="before"} 6.0',
        'xmguard_attention_imbalance_log_ratio_sum{phase="after"} 1.5',
        'xmguard_attention_imbalance_per_token_log_ratio_count{phase="before"} 3.0',
        'xmguard_span_contribution_share_count{language="es",modality="text"} 3.0',
        'xmguard_span_contribution_share_count{language="other",modality="text"} 1.0',
        'xmguard_span_contribution_share_count{language="en",modality="other"} 1.0',
        'xmguard_rebalances_total{outcome="applied",policy="fixed"} 2.0',
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
