"""Traces over OTLP: one span per call, and under it one for each step that the guard took.

Attributes are numbers, names of what is installed or served, and request ids; never a word of a request or an answer.
The guard knows nothing of traces: its steps come with their times, and are drawn once the call is answered. A call
that fails has a span without steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import fmean
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from xmguard import __version__
from xmguard.contracts import GuardEvent
from xmguard.errors import SetupIncomplete
from xmguard.response import AnswerResponse
from xmguard.steps import Step
from xmguard_server.trace_context import CURRENT, CallSpan, TraceContext

_SEND_SECONDS = 5.0
"""For a batch of spans to be taken; what the collector does not take is lost, and no call waits for it."""
_DELAY = 1000.0
"""Milliseconds between two batches."""

_FAULTS = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE"))
"""Codes that the conventions call errors of a server; the others are its caller's."""

Attributes = dict[str, str | bool | int | float]


class OtlpTracer:
    """Sends spans to a collector, or whatever else takes OTLP over HTTP."""

    name = "otlp"

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the collector's, such as http://127.0.0.1:4318; /v1/traces is added.

        Sampling and headers are OpenTelemetry's own to configure: OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS.

        Raises:
            SetupIncomplete: it is no such address. Whether anybody listens there is not tried.
        """
        where = urlsplit(endpoint)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise SetupIncomplete(
                f'--otlp-endpoint is "{endpoint}"; it must be the address of a collector, such as http://127.0.0.1:4318'
            )
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_SEND_SECONDS)
        described = Resource.create({"service.name": "xmguard", "service.version": __version__})
        self._provider = TracerProvider(resource=described, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_DELAY))
        self._tracer = self._provider.get_tracer("xmguard", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def call(self, sent: Mapping[str, str]) -> Iterator[CallSpan]:
        """The span of a call, part of its caller's trace if there is one."""
        parent = self._propagator.extract(sent, otel_context.Context())
        span = self._tracer.start_span("call", parent, trace.SpanKind.SERVER)
        place = span.get_span_context()
        CURRENT.set(
            TraceContext(
                trace.format_trace_id(place.trace_id), trace.format_span_id(place.span_id), place.trace_flags.sampled
            )
        )
        # Not detached: a stream may be closed by another task, and the task of a call ends with it.
        otel_context.attach(trace.set_span_in_context(span))
        try:
            yield _Span(span)
        finally:
            span.end()

    def observe(self, event: GuardEvent) -> None:
        """Draw the steps under the span of their call, and say in it what came of it."""
        call = trace.get_current_span()
        if not call.is_recording():
            return
        call.set_attributes(_of_call(event))
        under = trace.set_span_in_context(call)
        for taken in event.steps:
            began = int(taken.began * 1e9)
            told = _OF_STEP.get(taken.step, _nothing)(event)
            span = self._tracer.start_span(f"xmguard.{taken.step.value}", under, attributes=told, start_time=began)
            span.end(began + int(taken.seconds * 1e9))

    def close(self) -> None:
        """Send what was not sent yet."""
        self._provider.shutdown()


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def ended(self, name: str, code: str, attributes: Mapping[str, str]) -> None:
        self._span.update_name(name)
        self._span.set_attributes({"rpc.response.status_code": code, **attributes})
        if code in _FAULTS:
            self._span.set_status(trace.Status(trace.StatusCode.ERROR))


def _of_call(event: GuardEvent) -> Attributes:
    """By the conventions for generative AI as far as they go; ours are named `xmguard.*`."""
    response = event.response
    usage, verdict = response.usage, response.verdict
    told: dict[str, str | bool | int | float | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "xmguard",
        "gen_ai.request.model": response.served_by.model,
        "gen_ai.response.model": response.served_by.model,
        "gen_ai.response.id": response.request_id,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.response.time_to_first_chunk": event.first_token_seconds,
        "xmguard.method": event.method,
        "xmguard.engine": response.served_by.engine,
        "xmguard.spans": len(response.spans),
        "xmguard.queue_seconds": usage.queue_seconds,
        "xmguard.tokens": usage.tokens,
        "xmguard.admitted_tokens": event.cost,
        "xmguard.evidence_tokens": usage.evidence_tokens,
        "xmguard.verdict.decision": verdict.decision.name,
        "xmguard.verdict.status": verdict.status.name,
        "xmguard.verdict.probability": verdict.probability,
        "xmguard.warnings": len(response.warnings),
    }
    if isinstance(response, AnswerResponse):
        told["xmguard.finish_reason"] = response.finish_reason.name
    return _known(told)


def _measured(event: GuardEvent) -> Attributes:
    imbalance = event.response.imbalance
    return _known(
        {
            "xmguard.imbalance.log_ratio_before": imbalance.log_ratio_before,
            "xmguard.imbalance.log_ratio_per_token_before": imbalance.log_ratio_per_token_before,
            "xmguard.imbalance.rest_share_before": imbalance.rest_share_before,
        }
    )


def _rebalanced(event: GuardEvent) -> Attributes:
    imbalance, rebalancing = event.response.imbalance, event.response.rebalancing
    return _known(
        {
            "xmguard.rebalance.policy": rebalancing.policy,
            "xmguard.rebalance.applied": rebalancing.applied,
            "xmguard.imbalance.log_ratio_after": imbalance.log_ratio_after,
            "xmguard.imbalance.log_ratio_per_token_after": imbalance.log_ratio_per_token_after,
        }
    )


def _judged(event: GuardEvent) -> Attributes:
    verdict = event.response.verdict
    return _known(
        {
            "xmguard.verdict.decision": verdict.decision.name,
            "xmguard.verdict.probability": verdict.probability,
            "xmguard.verdict.disagreements": len(verdict.disagreements),
        }
    )


def _decoded(event: GuardEvent) -> Attributes:
    return _known(
        {
            "gen_ai.usage.output_tokens": event.response.usage.completion_tokens,
            "xmguard.token_seconds": fmean(event.token_gaps) if event.token_gaps else None,
            "xmguard.token_seconds.slowest": max(event.token_gaps, default=None),
        }
    )


def _prefilled(event: GuardEvent) -> Attributes:
    return {"gen_ai.usage.input_tokens": event.response.usage.prompt_tokens}


def _nothing(event: GuardEvent) -> Attributes:
    return {}


def _known(told: Mapping[str, str | bool | int | float | None]) -> Attributes:
    return {name: value for name, value in told.items() if value is not None}


_OF_STEP: Mapping[Step, Callable[[GuardEvent], Attributes]] = {
    Step.PREFILL: _prefilled,
    Step.MEASURE: _measured,
    Step.REBALANCE: _rebalanced,
    Step.JUDGE: _judged,
    Step.DECODE: _decoded,
}
