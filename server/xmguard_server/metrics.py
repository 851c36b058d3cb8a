"""Every number of the server for Prometheus, on a registry of its own, and the observer that fills them in.

Labels come from closed sets only: what is not in a set is counted as `other`. No request, span or caller is ever a
label. Every combination of labels together stays below 500 series of the names `xmguard_*` (with the built-in plugins);
that is why the histograms have few buckets. Knows nothing of gRPC or of the model thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from xmguard import __version__
from xmguard.contracts import GuardEvent
from xmguard.errors import Reason
from xmguard.language_tags import UNDETERMINED_LANGUAGE
from xmguard.plugins import Registry
from xmguard.response import Imbalance, SpanReport
from xmguard_server.workers.losses import LossReason

OTHER = "other"
UNKNOWN = "unknown"
LANGUAGES = frozenset(("ar", "de", "en", "es", "fr", "is", "it", "ja", "pt", "ru", "tr", "zh"))
"""BCP-47 primary tags with a label of their own. Spans come in languages that no plugin is installed for."""

_SECONDS = (0.1, 0.5, 2.5, 10, 60, 300)
_RATIOS = (0.1, 0.25, 0.5)
_NATS = (0.25, 0.5, 1)


class Metrics:
    """The server's metrics. As an observer (`xmguard.contracts.Observer`) it is told of each finished request."""

    name = "prometheus"

    def __init__(self, plugins: Registry) -> None:
        # `_created` series double every counter and have no use with today's Prometheus.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._modalities = frozenset(plugins.modalities.names())
        self._policies = frozenset(plugins.policies.names())
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

    def watch_observers(self, failures: Callable[[], Mapping[str, int]]) -> None:
        """Read how often each observer raised from this at every scrape."""
        self.registry.register(_ObserverFailures(failures))

    def rpc_started(self, service: str, method: str, kind: str) -> None:
        """A call has begun. Only methods that exist get here, so the label sets are closed."""
        self._grpc_started.labels(kind, service, method).inc()

    def rpc_handled(self, service: str, method: str, kind: str, code: str, seconds: float) -> None:
        """A call has ended; `code` is a canonical status name."""
        self._grpc_handled.labels(kind, service, method, code).inc()
        self._grpc_seconds.labels(kind, service, method).observe(seconds)

    def request_handled(self, method: str, code: str, seconds: float) -> None:
        """A call of the guard service has ended."""
        self._requests.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)

    def rejected(self, reason: Reason) -> None:
        """A call ended without an answer."""
        self._rejected.labels(reason.value).inc()

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
        """A request was answered or checked."""
        response = event.response
        usage = response.usage
        if event.first_token_seconds is not None:
            self._first_token_seconds.observe(usage.queue_seconds + event.first_token_seconds)
        self._prompt_tokens.inc(usage.prompt_tokens)
        self._generated_tokens.inc(usage.completion_tokens)
        self._evidence_tokens.inc(usage.evidence_tokens)
        pair = self._modality_pair(response.spans), _language_pair(response.spans)
        self._conflicts.labels(response.verdict.decision.name.lower(), *pair).inc()
        self._rebalances.labels(
            _fold(response.rebalancing.policy, self._policies),
            "applied" if response.rebalancing.applied else "not_applied",
        ).inc()
        self._observe_imbalance(response.imbalance, pair)
        for span in response.spans:
            share = span.share_before if span.share_after is None else span.share_after
            if share is not None:
                self._share.labels(_fold(span.modality, self._modalities), _language(span)).observe(share)

    def _observe_imbalance(self, imbalance: Imbalance, pair: tuple[str, str]) -> None:
        for histogram, phase, value in (
            (self._imbalance, "before", imbalance.log_ratio_before),
            (self._imbalance, "after", imbalance.log_ratio_after),
            (self._imbalance_per_token, "before", imbalance.log_ratio_per_token_before),
            (self._imbalance_per_token, "after", imbalance.log_ratio_per_token_after),
        ):
            if value is not None:
                histogram.labels(phase, *pair).observe(value)

    def _modality_pair(self, spans: Sequence[SpanReport]) -> str:
        distinct = sorted({span.modality for span in spans})
        if len(spans) < 2:
            return "single"
        if len(distinct) > 2 or not self._modalities.issuperset(distinct):
            return OTHER
        return f"{distinct[0]}-{distinct[-1]}"

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
            "Time of a guard call, waiting included.",
            ("method",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._first_token_seconds = Histogram(
            "xmguard_time_to_first_token_seconds",
            "Time to the first piece of an answer, waiting included.",
            registry=registry,
            buckets=_SECONDS,
        )
        self._prompt_tokens = Counter("xmguard_prompt_tokens_total", "Tokens of prompts.", registry=registry)
        self._generated_tokens = Counter("xmguard_generated_tokens_total", "Tokens of answers.", registry=registry)
        self._evidence_tokens = Counter(
            "xmguard_evidence_tokens_total", "Tokens run for the evidence of verdicts.", registry=registry
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
        self._imbalance = Histogram(
            "xmguard_attention_imbalance_log_ratio",
            "Log of the largest over the smallest span contribution, before and after rebalancing.",
            ("phase", "modality_pair", "language"),
            registry=registry,
            buckets=_NATS,
        )
        self._imbalance_per_token = Histogram(
            "xmguard_attention_imbalance_per_token_log_ratio",
            "The same of contributions per token of the span.",
            ("phase", "modality_pair", "language"),
            registry=registry,
            buckets=_NATS,
        )
        self._share = Histogram(
            "xmguard_span_contribution_share",
            "Share of the contributions that one span had in the answer, after rebalancing where there was any.",
            ("modality", "language"),
            registry=registry,
            buckets=_RATIOS,
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


def _fold(name: str, known: frozenset[str]) -> str:
    return name if name in known else OTHER


def _primary(span: SpanReport) -> str:
    tag = span.language.lower().split("-")[0]
    return UNKNOWN if tag in ("", UNDETERMINED_LANGUAGE) else tag


def _language(span: SpanReport) -> str:
    return _fold(_primary(span), LANGUAGES | {UNKNOWN})


def _language_pair(spans: Iterable[SpanReport]) -> str:
    # Compared before they are folded: two languages without a label of their own are two languages all the same.
    distinct = {_primary(span) for span in spans}
    if UNKNOWN in distinct:
        return UNKNOWN
    return "same" if len(distinct) < 2 else "cross"
