"""What operators see of the real server: metrics and logs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, generate_latest

from tests.scripted import (
    REQUEST,
    ScriptedGuard,
    ScriptedRequest,
    eventually,
    health,
    scrape,
    serving,
)
from xmguard import wire
from xmguard.client import Client
from xmguard.contracts import GuardEvent
from xmguard.errors import ErrorCode, FieldViolation, InvalidRequest, ModelNotFound, Reason
from xmguard.plugins import load_plugins
from xmguard.request import AnswerRequest, Rebalance
from xmguard.response import AnswerResponse, ConflictVerdict, Decision, Imbalance, Rebalancing, SpanReport
from xmguard.span import Media, Span
from xmguard_server.labels import LANGUAGES
from xmguard_server.metrics import Metrics
from xmguard_server.workers.losses import LossReason

HTTP_METHODS = ("ChatCompletions", "Models", "Unknown")

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
        "xmguard_generation_tokens_total 12.0",
        "xmguard_inter_token_latency_seconds_count 8.0",
        'xmguard_inter_token_latency_seconds_bucket{le="0.01"} 4.0',
        "xmguard_evidence_tokens_total 48.0",
        "xmguard_admitted_tokens_total 300.0",
        "xmguard_requests_running 0.0",
        "xmguard_requests_waiting 0.0",
        'xmguard_conflicts_total{decision="conflict",language="cross",modality_pair="text-text"} 3.0',
        'xmguard_conflicts_total{decision="conflict",language="cross",modality_pair="other"} 1.0',
        'xmguard_conflicts_total{decision="conflict",language="unknown",modality_pair="text-text"} 1.0',
        'xmguard_attention_imbalance_log_ratio_sum{modality_pair="text-text",phase="before"} 6.0',
        'xmguard_attention_imbalance_log_ratio_sum{modality_pair="text-text",phase="after"} 1.5',
        "xmguard_attention_imbalance_per_token_log_ratio_count"
        '{language="unknown",modality_pair="text-text",phase="before"} 1.0',
        "xmguard_attention_imbalance_per_token_log_ratio_count"
        '{language="cross",modality_pair="other",phase="before"} 1.0',
        'xmguard_span_contribution_ratio_count{language="es",modality="text"} 3.0',
        'xmguard_span_contribution_ratio_count{language="zh",modality="text"} 1.0',
        'xmguard_span_contribution_ratio_count{language="unknown",modality="text"} 1.0',
        'xmguard_span_contribution_ratio_count{language="other",modality="text"} 1.0',
        'xmguard_span_contribution_ratio_count{language="unknown",modality="other"} 1.0',
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


def fill(metrics: Metrics, methods: Sequence[str], modalities: Sequence[str]) -> None:
    """Every series that anything a server and its callers do can make."""
    metrics.watch(running=lambda: 1, waiting=lambda: 1)
    metrics.watch_queue(cost=lambda: 1, pressure=lambda: 0.5)
    metrics.watch_workers(lambda: 1)
    metrics.watch_certificate(lambda: 1.0)
    metrics.watch_cache(lambda: 0.5)
    metrics.watch_observers(lambda: dict.fromkeys(("prometheus", "otlp", "access_log", "front"), 1))
    metrics.browned_out()
    for method, code in product(methods, [*ErrorCode.__members__, "OK", "UNKNOWN"]):
        metrics.request_handled(method, code, 0.1)
    for reason in Reason:
        metrics.rejected(reason)
    for lost in LossReason:
        metrics.worker_lost(lost)
    metrics.violated([FieldViolation(f"spans[0].media.{field}", "is wrong") for field in ("media_type", "data")])
    metrics.waited(0.1)
    # Languages with a label, two without, and none; of pairs, those say all of same, cross and unknown.
    reports = [
        SpanReport("s", modality, language, share_after=0.5)
        for modality, language in product(modalities, [*LANGUAGES, "tlh", "eo", "und"])
    ]
    decisions = [decision for decision in Decision if decision is not Decision.UNSPECIFIED]  # a verdict always decides
    for decision, spans in product(decisions, [(), *((report,) for report in reports), *product(reports, reports)]):
        imbalance = Imbalance(1.0, 1.0, log_ratio_per_token_before=1.0, log_ratio_per_token_after=1.0)
        response = AnswerResponse(
            verdict=ConflictVerdict(decision), spans=spans, imbalance=imbalance if len(spans) > 1 else Imbalance()
        )
        metrics.observe(GuardEvent("answer", AnswerRequest(), response, 0.1, (0.1,), cost=9))
    for policy, applied in product(["none", "fixed", "floor", "soften", "target", "made-up"], [True, False]):
        response = AnswerResponse(rebalancing=Rebalancing(applied, policy))
        metrics.observe(GuardEvent("answer", AnswerRequest(), response, 0.1))


@pytest.mark.parametrize("installed", [("text",), ("text", "image"), ("text", "image", "audio", "video")])
def test_every_label_together_stays_below_500_series(monkeypatch: pytest.MonkeyPatch, installed: Sequence[str]) -> None:
    monkeypatch.setenv("XMGUARD_PLUGINS", "")
    plugins = load_plugins()
    modalities = replace(plugins.modalities, items=dict.fromkeys(installed, plugins.modalities.items["text"]))
    metrics = Metrics(replace(plugins, modalities=modalities))
    fill(metrics, [*(method.name for method in wire.METHODS), *HTTP_METHODS], [*installed, "smell", "taste"])
    page = generate_latest(metrics.registry).decode()
    series = [line for line in page.splitlines() if line.startswith("xmguard_")]
    seen = {key: set(re.findall(rf'\b{key}="(.*?)"', page)) for key in ("phase", "modality_pair", "language")}
    pairs = {"single", "text-text", "other"} | ({"image-image", "image-text"} if "image" in installed else set())
    assert seen == {
        "phase": {"before", "after"},
        "modality_pair": pairs,
        "language": {*LANGUAGES, "unknown", "other", "same", "cross"},
    }
    assert len(series) <= 500
    if "image" in installed:
        assert len(series) > 450, "the bound is not near: is something not counted?"


class Picky(ScriptedGuard):
    """Takes no pictures as they are."""

    def prepare(self, request: AnswerRequest, *, answers: bool) -> ScriptedRequest:
        raise InvalidRequest(
            [
                FieldViolation("spans[0].media.data", "is cut off"),
                FieldViolation("spans[1].media.media_type", "says image/png, and the content is image/gif"),
                FieldViolation("spans[2].media", "must be set"),
                FieldViolation("spans", "holds 17 media; at most 16 are taken"),
                FieldViolation("spans[3].text", "is empty"),
            ]
        )


def test_pictures_that_are_not_taken_are_counted_by_what_is_wrong_with_them() -> None:
    with serving(load=Picky) as served:
        assert served.loaded.wait(20)
        with Client(served.address) as client, pytest.raises(InvalidRequest):
            client.answer(REQUEST)
        page = scrape(served.metrics_url)
    for reason, count in (("data", 2), ("media_type", 1), ("number", 1)):
        assert f'xmguard_images_rejected_total{{reason="{reason}"}} {count}.0' in page.splitlines()
    assert 'xmguard_rejected_total{reason="REQUEST_INVALID"} 1.0' in page.splitlines()


def test_engines_of_several_workers_are_told_apart_and_their_fullest_cache_counts() -> None:
    counted = Counter("vllm:prompt_tokens", "Tokens.", ["engine"], registry=REGISTRY)
    counted.labels("0").inc(7)
    usage = Gauge("vllm:kv_cache_usage_perc", "Used.", ["engine"], registry=REGISTRY)
    usage.labels("0").set(0.25)
    usage.labels("1").set(0.75)
    told = 'vllm:prompt_tokens_total{{engine="0",worker="{}"}} 7.0'
    try:
        with serving(workers=2) as served:
            page = scrape(f"{served.admin_url}/engine/metrics")
            assert all(told.format(number) in page.splitlines() for number in (0, 1))
            assert page.count("# TYPE vllm:prompt_tokens_total") == 1
            full = "xmguard_kv_cache_usage_ratio 0.75"
            eventually(lambda: full in scrape(served.metrics_url).splitlines(), seconds=10)
            assert "vllm" not in scrape(served.metrics_url)
    finally:
        REGISTRY.unregister(counted)
        REGISTRY.unregister(usage)
    with serving() as served:
        assert "kv_cache" not in scrape(served.metrics_url)


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
