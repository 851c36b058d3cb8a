"""Traces, exemplars and the access log of one call say the same of it, and nothing of what it asked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.scripted import REQUEST, Serving, call_raw, eventually, raising, scrape, serving
from tests.serving.prometheus import installed, prometheus
from xmguard import wire
from xmguard.errors import ErrorCode, Reason, SetupIncomplete, XmguardError
from xmguard_server.trace_context import TraceContext, parse

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
STEPS = [
    f"xmguard.{step}" for step in ("encode", "prefill", "measure", "rebalance", "alone", "judge", "quote", "decode")
]
BODY = wire.ANSWER.pack_request(REQUEST)


class Collector:
    """Somebody else's receiver of OTLP, in a process of its own."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        self.page = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "oteltap", "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        threading.Thread(target=self._read, daemon=True).start()
        eventually(lambda: self._listens(port), seconds=20)

    def spans(self) -> list[dict[str, Any]]:
        """What has arrived."""
        lines = self.page[: self.page.rfind("\n") + 1].splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def end(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)

    def _read(self) -> None:
        for line in self._process.stdout:
            self.page += line.decode()

    @staticmethod
    def _listens(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def traced() -> Iterator[tuple[Serving, Collector]]:
    from xmguard_server.tracing import OtlpTracer

    collector = Collector()
    try:
        with serving(tracer=OtlpTracer(collector.endpoint), http_port=0) as served:
            yield served, collector
    finally:
        collector.end()


def of_trace(collector: Collector, trace: str, number: int) -> list[dict[str, Any]]:
    eventually(lambda: len([span for span in collector.spans() if span["traceId"] == trace]) >= number, seconds=10)
    return [span for span in collector.spans() if span["traceId"] == trace]


def told(span: dict[str, Any]) -> dict[str, Any]:
    return {entry["key"]: next(iter(entry["value"].values())) for entry in span["attributes"]}


def ask_over_http(served: Serving, traceparent: str) -> dict[str, Any]:
    body = {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "It rose by 25%.", "xmguard": {"span": "s1"}},
                    {"type": "text", "text": "By how much?"},
                ],
            }
        ]
    }
    headers = {"content-type": "application/json", "traceparent": traceparent, "x-request-id": "of-http"}
    request = urllib.request.Request(f"{served.http_url}/v1/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return dict(response.headers)


def test_a_call_is_one_span_of_its_callers_trace_with_one_below_for_each_step(traced) -> None:
    served, collector = traced
    call_raw(served.address, "Answer", BODY, metadata=(("traceparent", SAMPLED), ("x-request-id", "of-grpc")))
    spans = of_trace(collector, TRACE, 1 + len(STEPS))
    (call,) = [span for span in spans if span["kind"] == 2]
    steps = sorted((span for span in spans if span is not call), key=lambda span: int(span["startTimeUnixNano"]))
    assert call["name"] == "xmguard.v1.GuardService/Answer"
    assert call["parentSpanId"] == PARENT
    assert [span["name"] for span in steps] == STEPS
    assert {span["parentSpanId"] for span in steps} == {call["spanId"]}
    assert all(0.5e6 < int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) < 2e6 for span in steps)
    said = told(call)
    assert said["rpc.response.status_code"] == "OK"
    assert said["xmguard.request_id"] == "of-grpc"
    assert said["gen_ai.usage.input_tokens"] == "40"
    assert said["gen_ai.usage.output_tokens"] == "3"
    assert (said["xmguard.tokens"], said["xmguard.admitted_tokens"]) == ("55", "60")
    assert said["xmguard.verdict.decision"] == "CONFLICT"
    assert told(steps[2])["xmguard.imbalance.log_ratio_before"] == 2.0
    assert told(steps[3])["xmguard.rebalance.policy"] == "fixed"
    decoding = told(steps[-1])
    assert (decoding["xmguard.token_seconds"], decoding["xmguard.token_seconds.slowest"]) == (0.02, 0.03)
    everything = json.dumps(spans)
    assert "25" not in "".join(str(value) for span in spans for value in told(span).values())
    for words in ("rose", "how much", "sources disagree", "Subió"):
        assert words not in everything


def test_a_call_over_http_is_traced_as_well(traced) -> None:
    served, collector = traced
    trace = "1" * 32
    ask_over_http(served, f"00-{trace}-{PARENT}-01")
    spans = of_trace(collector, trace, 1 + len(STEPS))
    (call,) = [span for span in spans if span["kind"] == 2]
    assert (call["name"], call["parentSpanId"]) == ("ChatCompletions", PARENT)
    assert told(call)["http.route"] == "/v1/chat/completions"
    assert {span["parentSpanId"] for span in spans if span is not call} == {call["spanId"]}


def test_who_wants_no_trace_gets_none_and_who_has_none_gets_a_new_one(traced) -> None:
    served, collector = traced
    known = {span["traceId"] for span in collector.spans()}
    refused = "2" * 32
    call_raw(served.address, "Answer", BODY, metadata=(("traceparent", f"00-{refused}-{PARENT}-00"),))
    call_raw(served.address, "Answer", BODY, metadata=(("traceparent", "garbage"),))

    def fresh() -> list[str]:
        return [span["traceId"] for span in collector.spans() if span["traceId"] not in known]

    eventually(lambda: len(fresh()) >= 1 + len(STEPS), seconds=10)
    assert len(set(fresh())) == 1
    assert refused not in fresh()


def test_a_call_that_fails_by_the_servers_fault_is_an_error_and_one_that_is_wrong_is_not(traced) -> None:
    served, collector = traced
    with pytest.raises(grpc.RpcError):
        call_raw(served.address, "Answer", b"\xff", metadata=(("traceparent", f"00-{'3' * 32}-{PARENT}-01"),))
    script, served.guard.script = served.guard.script, raising(RuntimeError("cannot read 'It rose by 25%.'"))
    try:
        with pytest.raises(grpc.RpcError):
            call_raw(served.address, "Answer", BODY, metadata=(("traceparent", f"00-{'4' * 32}-{PARENT}-01"),))
    finally:
        served.guard.script = script
    (wrong,) = of_trace(collector, "3" * 32, 1)
    (failed,) = of_trace(collector, "4" * 32, 1)
    assert (told(wrong)["rpc.response.status_code"], wrong["status"]["code"]) == ("INVALID_ARGUMENT", 0)
    assert (told(failed)["rpc.response.status_code"], failed["status"]["code"]) == ("INTERNAL", 2)
    assert "rose" not in json.dumps(failed)


# -- without a collector -----------------------------------------------------------------------------------------------


def access_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.fields for record in caplog.records if record.name == "xmguard_server.access"]


def test_the_access_log_has_a_line_per_call_that_says_what_it_took(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with serving(http_port=0) as served:
        call_raw(served.address, "Answer", BODY, metadata=(("traceparent", SAMPLED), ("x-request-id", "of-grpc")))
        headers = ask_over_http(served, SAMPLED)
        served.guard.script = raising(
            XmguardError("no", code=ErrorCode.RESOURCE_EXHAUSTED, reason=Reason.OUT_OF_MEMORY)
        )
        with pytest.raises(grpc.RpcError):
            call_raw(served.address, "Answer", BODY)
        eventually(lambda: len(access_lines(caplog)) == 3)
    answered, over_http, failed = access_lines(caplog)
    assert headers["x-request-id"] == "of-http"
    for line, name, method in ((answered, "of-grpc", "Answer"), (over_http, "of-http", "ChatCompletions")):
        assert (line["request_id"], line["method"], line["code"]) == (name, method, "OK")
        assert (line["trace_id"], line["span_id"]) == (TRACE, PARENT)
        assert (line["prompt_tokens"], line["completion_tokens"], line["evidence_tokens"]) == (40, 3, 12)
        assert line["admitted_tokens"] == 60
        assert line["verdict"] == "CONFLICT"
        assert 0 <= line["queue_seconds"] <= line["seconds"]
        assert line["first_token_seconds"] == pytest.approx(0.05)
        assert "reason" not in line
        assert "caller" in line
    assert (failed["code"], failed["reason"]) == ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY")
    assert "prompt_tokens" not in failed
    assert "rose" not in str([record.__dict__ for record in caplog.records])


@installed
def test_an_exemplar_leads_from_a_slow_bucket_to_the_callers_trace(tmp_path: Path) -> None:
    with serving() as served:
        call_raw(served.address, "Answer", BODY, metadata=(("traceparent", SAMPLED),))
        call_raw(served.address, "Check", BODY, metadata=(("traceparent", f"00-{'5' * 32}-{PARENT}-00"),))
        request = urllib.request.Request(served.metrics_url, headers={"accept": "application/openmetrics-text"})
        with urllib.request.urlopen(request, timeout=5) as response:
            page = response.read().decode()
        found = {
            (family.name, sample.exemplar.labels["trace_id"])
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.exemplar
        }
        names = (
            "xmguard_time_to_first_token_seconds",
            "xmguard_request_duration_seconds",
            "grpc_server_handling_seconds",
        )
        assert found == {(name, TRACE) for name in names}
        assert TRACE not in scrape(served.metrics_url)  # the older format has no exemplars
        target = served.metrics_url.split("/")[2]
        config = tmp_path / "prometheus.yml"
        config.write_text(
            json.dumps(
                {
                    "scrape_configs": [
                        {
                            "job_name": "xmguard",
                            "scrape_interval": "300ms",
                            "static_configs": [{"targets": [target]}],
                        }
                    ]
                }
            )
        )
        with prometheus(config) as seen:
            eventually(lambda: bool(seen.query("xmguard_build_info")), seconds=30)
            stored = seen.exemplars("xmguard_time_to_first_token_seconds_bucket")
    assert stored[0]["exemplars"][0]["labels"] == {"trace_id": TRACE}


@pytest.mark.parametrize(
    ("sent", "understood"),
    [
        (SAMPLED, TraceContext(TRACE, PARENT, True)),
        (f"00-{TRACE}-{PARENT}-00", TraceContext(TRACE, PARENT, False)),
        (f"01-{TRACE}-{PARENT}-03-later", TraceContext(TRACE, PARENT, True)),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", None),
        (f"00-{TRACE}-{PARENT}", None),
        ('","forged":"', None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_the_w3c_writes_it(sent: str, understood: TraceContext | None) -> None:
    assert parse(sent) == understood


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "/v1/traces"])
def test_what_is_no_address_of_a_collector_is_refused(endpoint: str) -> None:
    from xmguard_server.tracing import OtlpTracer

    with pytest.raises(SetupIncomplete, match="must be the address of a collector"):
        OtlpTracer(endpoint)


def test_calls_go_on_without_their_collector() -> None:
    from xmguard_server.tracing import OtlpTracer

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        with serving(tracer=OtlpTracer(f"http://127.0.0.1:{nobody.getsockname()[1]}")) as served:
            answered = call_raw(served.address, "Answer", BODY)
    assert wire.ANSWER.unpack_response(answered).answer


def test_without_the_extra_the_option_says_what_to_install(tmp_path: Path) -> None:
    hidden = tmp_path / "opentelemetry"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('No module named opentelemetry')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "xmguard", "serve", "--otlp-endpoint", "http://127.0.0.1:1", "--model", "none"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert 'pip install "xmguard[tracing]"' in done.stderr
    assert "Traceback" not in done.stderr
