"""Every number of the server for Prometheus, on a registry of its own, and the observer that fills them in.

All labels together stay below 500 series of the names `xmguard_*`; that is why histograms have few buckets, and why
some distributions are told by their mean alone (a count and a sum). Knows nothing of gRPC or of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    Summary,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from xmguard import __version__
from xmguard.contracts import GuardEvent
from xmguard.errors import FieldViolation, Reason
from xmguard.plugins import Registry
from xmguard.response import Imbalance
from xmguard.steps import Step
from xmguard_server.labels import IMAGE_REJECTIONS, Labels, image_rejections, language_pair
from xmguard_server.trace_context import CURRENT
from xmguard_server.workers.losses import LossReason

_SECONDS = (0.1, 0.5, 2.5, 10, 60, 300)
_FIRST_TOKEN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_NATS = (0.5, 1, 2, 3)
_NO_WORK = frozenset(("GetModel", "Models", "Unknown"))
"""Methods that run no model: how long they take says nothing of it."""


class Metrics:
    """The server's metrics. As an observer (`xmguard.contracts.Observer`) it is told of each finished request."""

    name = "prometheus"

    def __init__(self, plugins: Registry) -> None:
        # `_created` series double every counter and have no use with today's Prometheus.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._labels = Labels(plugins)
        ProcessCollector(registry=self.registry)
        self._rpc_metrics()
        self._load_metrics()
        self._guard_metrics()

    def watch(self, *, running: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Read the two load gauges from these at every scrape."""
        self._requests_running.set_function(running)
        self._requests_waiting.set_function(waiting)

    def watch_queue(self, *, cost: Callable[[], int], pressure: Callable[[], float]) -> None:
        """Read what waits, in tokens and as a share of its bounds, from these at every scrape."""
        self._queue_cost.set_function(cost)
        self._queue_pressure.set_function(pressure)

    def watch_workers(self, ready: Callable[[], int]) -> None:
        """Read how many workers are ready from this at every scrape."""
        self._workers_ready.set_function(ready)

    def watch_certificate(self, seconds_left: Callable[[], float]) -> None:
        """Read how long the server's certificate is still valid from this at every scrape; not called without TLS."""
        Gauge(
            "xmguard_certificate_remaining_seconds",
            "Time until the server's certificate expires; negative once it has.",
            registry=self.registry,
        ).set_function(seconds_left)

    def watch_cache(self, used: Callable[[], float | None]) -> None:
        """Read the used share of the engine's cache from this at every scrape; None where the engine tells none."""
        self.registry.register(_CacheUsage(used))

    def watch_observers(self, failures: Callable[[], Mapping[str, int]]) -> None:
        """Read how often each observer raised from this at every scrape."""
        self.registry.register(_ObserverFailures(failures))

    def rpc_started(self, service: str, method: str, kind: str) -> None:
        """A call has begun. Only methods that exist get here, so the label sets are closed."""
        self._grpc_started.labels(kind, service, method).inc()

    def rpc_handled(self, service: str, method: str, kind: str, code: str, seconds: float) -> None:
        """A call has ended; `code` is a canonical status name."""
        self._grpc_handled.labels(kind, service, method, code).inc()
        self._grpc_seconds.labels(kind, service, method).observe(seconds, _exemplar())

    def request_handled(self, method: str, code: str, seconds: float) -> None:
        """A call has ended, on whatever interface; its method is from a closed set."""
        self._requests.labels(method, code).inc()
        if method not in _NO_WORK:
            self._seconds.labels(method).observe(seconds, _exemplar())

    def rejected(self, reason: Reason) -> None:
        """A call ended without an answer."""
        self._rejected.labels(reason.value).inc()

    def violated(self, violations: Iterable[FieldViolation]) -> None:
        """A request was not valid; counts what was wrong with its pictures."""
        for wrong in image_rejections(violations):
            self._images_rejected.labels(wrong).inc()

    def waited(self, seconds: float) -> None:
        """A request has reached the model."""
        self._queue_seconds.observe(seconds)

    def browned_out(self) -> None:
        """A request is served without evidence."""
        self._brownouts.inc()

    def worker_lost(self, reason: LossReason) -> None:
        """A worker was lost, and is started again."""
        self._restarts.labels(reason.value).inc()

    def observe(self, event: GuardEvent) -> None:
        """A request was answered or checked. Called in the context of its call, for the exemplars."""
        response = event.response
        usage = response.usage
        if event.first_token_seconds is not None:
            self._first_token_seconds.observe(usage.queue_seconds + event.first_token_seconds, _exemplar())
        for gap in event.token_gaps:
            self._token_seconds.observe(gap)
        for taken in event.steps:
            self._step_seconds.labels(taken.step.value).inc(taken.seconds)
        self._prompt_tokens.inc(usage.prompt_tokens)
        self._generation_tokens.inc(usage.completion_tokens)
        self._evidence_tokens.inc(usage.evidence_tokens)
        if event.cost is not None:
            self._admitted_tokens.inc(event.cost)
        pair = self._labels.modality_pair(response.spans)
        language = language_pair(response.spans)
        self._conflicts.labels(response.verdict.decision.name.lower(), pair, language).inc()
        self._rebalances.labels(
            self._labels.policy(response.rebalancing.policy),
            "applied" if response.rebalancing.applied else "not_applied",
        ).inc()
        self._observe_imbalance(response.imbalance, pair, language)
        for span in response.spans:
            share = span.share_before if span.share_after is None else span.share_after
            if share is not None:
                self._share.labels(*self._labels.span(span)).observe(share)

    def _observe_imbalance(self, imbalance: Imbalance, pair: str, language: str) -> None:
        for phase, whole, per_token in (
            ("before", imbalance.log_ratio_before, imbalance.log_ratio_per_token_before),
            ("after", imbalance.log_ratio_after, imbalance.log_ratio_per_token_after),
        ):
            if whole is not None:
                self._imbalance.labels(phase, pair).observe(whole)
            if per_token is not None:
                self._imbalance_per_token.labels(phase, pair, language).observe(per_token)

    def _rpc_metrics(self) -> None:
        # Names and labels of go-grpc-prometheus, so that dashboards made for any gRPC server work.
        labels = ("grpc_type", "grpc_service", "grpc_method")
        self._grpc_started = Counter(
            "grpc_server_started_total", "Calls begun on the server.", labels, registry=self.registry
        )
        self._grpc_handled = Counter(
            "grpc_server_handled_total",
            "Calls ended on the server, by status code.",
            (*labels, "grpc_code"),
            registry=self.registry,
        )
        self._grpc_seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from the start of a call to its end, waiting included.",
            labels,
            registry=self.registry,
            buckets=_SECONDS,
        )

    def _load_metrics(self) -> None:
        self._requests_running = Gauge("xmguard_requests_running", "Requests on the model.", registry=self.registry)
        self._requests_waiting = Gauge(
            "xmguard_requests_waiting", "Requests waiting for the model.", registry=self.registry
        )
        self._queue_seconds = Histogram(
            "xmguard_queue_time_seconds", "Time a request waited.", registry=self.registry, buckets=_SECONDS
        )
        self._queue_cost = Gauge(
            "xmguard_queue_cost_tokens", "Tokens that the waiting requests take at most.", registry=self.registry
        )
        self._queue_pressure = Gauge(
            "xmguard_queue_pressure_ratio",
            "Share of the queue's nearest bound that is used: requests, tokens, or seconds of work.",
            registry=self.registry,
        )
        self._brownouts = Counter(
            "xmguard_brownout_total",
            "Requests served without a verdict, because the server was under pressure and they allowed it.",
            registry=self.registry,
        )
        self._rejected = Counter(
            "xmguard_rejected_total",
            "Calls that ended without an answer, by reason.",
            ("reason",),
            registry=self.registry,
        )
        for reason in Reason:  # a rate over a series that does not exist yet misses its first increment
            self._rejected.labels(reason.value)
        self._images_rejected = Counter(
            "xmguard_images_rejected_total",
            "Pictures that were not taken, by what was wrong: their kind, their content or size, their number.",
            ("reason",),
            registry=self.registry,
        )
        for wrong in IMAGE_REJECTIONS:
            self._images_rejected.labels(wrong)
        self._workers_ready = Gauge("xmguard_workers_ready", "Workers that answer requests.", registry=self.registry)
        self._restarts = Counter(
            "xmguard_worker_restarts_total",
            "Workers that were lost and started again, by reason.",
            ("reason",),
            registry=self.registry,
        )
        for loss in LossReason:
            self._restarts.labels(loss.value)
        build = Gauge("xmguard_build_info", "Always 1; the labels say what runs.", ("version",), registry=self.registry)
        build.labels(__version__).set(1)

    def _guard_metrics(self) -> None:
        registry = self.registry
        self._requests = Counter(
            "xmguard_requests_total", "Guard calls ended, by status code.", ("method", "code"), registry=registry
        )
        self._seconds = Histogram(
            "xmguard_request_duration_seconds",
            "Time of a call that runs the model, waiting included.",
            ("method",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._first_token_seconds = Histogram(
            "xmguard_time_to_first_token_seconds",
            "Time to the first piece of an answer, waiting included.",
            registry=registry,
            buckets=_FIRST_TOKEN_SECONDS,
        )
        self._token_seconds = Histogram(
            "xmguard_inter_token_latency_seconds",
            "Time from each token of an answer to the next, as they were shown.",
            registry=registry,
            buckets=_TOKEN_SECONDS,
        )
        self._step_seconds = Counter(
            "xmguard_step_seconds_total",
            "Time that answered requests spent in each step of the guard.",
            ("step",),
            registry=registry,
        )
        for step in Step:
            self._step_seconds.labels(step.value)
        self._prompt_tokens = Counter("xmguard_prompt_tokens_total", "Tokens of prompts.", registry=registry)
        self._generation_tokens = Counter("xmguard_generation_tokens_total", "Tokens of answers.", registry=registry)
        self._evidence_tokens = Counter(
            "xmguard_evidence_tokens_total", "Tokens run for the evidence of verdicts.", registry=registry
        )
        self._admitted_tokens = Counter(
            "xmguard_admitted_tokens_total",
            "Tokens that answered requests were admitted with: at most what is run for prompts, answers and evidence.",
            registry=registry,
        )
        self._conflicts = Counter(
            "xmguard_conflicts_total",
            "Verdicts, by decision, by the spans' modalities, and by whether they share a language (unknown: not every "
            "span's language is known).",
            ("decision", "modality_pair", "language"),
            registry=registry,
        )
        self._rebalances = Counter(
            "xmguard_rebalances_total",
            "Requests, by rebalancing policy and whether it was applied.",
            ("policy", "outcome"),
            registry=registry,
        )
        self._imbalance = Summary(
            "xmguard_attention_imbalance_log_ratio",
            "Log of the largest over the smallest span contribution, before and after rebalancing. Grows with the "
            "difference between the spans' lengths.",
            ("phase", "modality_pair"),
            registry=registry,
        )
        self._imbalance_per_token = Histogram(
            "xmguard_attention_imbalance_per_token_log_ratio",
            "The same of contributions per token of the span.",
            ("phase", "modality_pair", "language"),
            registry=registry,
            buckets=_NATS,
        )
        self._share = Summary(
            "xmguard_span_contribution_ratio",
            "Share of the contributions that one span had in the answer, after rebalancing where there was any.",
            ("modality", "language"),
            registry=registry,
        )


class _ObserverFailures(Collector):
    """The guard counts these itself: it must go on when an observer fails, this one included."""

    def __init__(self, failures: Callable[[], Mapping[str, int]]) -> None:
        self._failures = failures

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily("xmguard_observer_failures", "Observers that raised.", labels=("observer",))
        for observer, count in self._failures().items():
            family.add_metric((observer,), count)
        yield family


class _CacheUsage(Collector):
    """Only there where an engine tells it: a 0 would say that the cache is empty."""

    def __init__(self, used: Callable[[], float | None]) -> None:
        self._used = used

    def collect(self) -> Iterable[Metric]:
        used = self._used()
        if used is not None:
            yield GaugeMetricFamily("xmguard_kv_cache_usage_ratio", "Used share of the engine's key-value cache.", used)


def _exemplar() -> dict[str, str] | None:
    """The trace that the call belongs to, if anybody keeps it."""
    current = CURRENT.get()
    return {"trace_id": current.trace_id} if current is not None and current.sampled else None
