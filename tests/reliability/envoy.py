"""Envoy between clients and servers: balances over those that are healthy, and can make calls fail."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.reliability.stage import Stage, free_port
from tests.scripted import eventually

_TYPES = "type.googleapis.com/envoy.extensions"


@dataclass(frozen=True)
class Proxied:
    """A running proxy."""

    address: str
    admin: str

    def healthy(self) -> int:
        """Servers that it sends calls to."""
        with urllib.request.urlopen(f"{self.admin}/stats?filter=membership_healthy&format=json", timeout=5) as page:
            return int(next(one["value"] for one in json.load(page)["stats"] if "value" in one))

    def injected(self) -> int:
        """Calls that it made fail."""
        with urllib.request.urlopen(f"{self.admin}/stats?filter=fault.aborts_injected&format=json", timeout=5) as page:
            return sum(int(one["value"]) for one in json.load(page)["stats"] if "value" in one)


@contextmanager
def proxy(stage: Stage, ports: Sequence[int], *, failing: int = 0) -> Iterator[Proxied]:
    """A proxy in front of servers on these ports; of a hundred calls `failing` end with UNAVAILABLE.

    Without `failing` it sends a call that ended with UNAVAILABLE before anything of an answer to another server, which
    is how a call is not lost that reaches a server that stops in that moment.

    Raises:
        Absent: Envoy is not installed.
    """
    program, port, admin = stage.tool("envoy"), free_port(), free_port()
    configuration = stage.log("envoy-configuration").with_suffix(".json")
    configuration.write_text(json.dumps(_configuration(port, admin, ports, failing)))
    arguments = [program, "-c", str(configuration), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"]
    proxied = Proxied(f"127.0.0.1:{port}", f"http://127.0.0.1:{admin}")

    def ready() -> bool:
        try:
            return proxied.healthy() == len(ports)
        except OSError:
            return False

    with stage.running([*arguments, "--drain-time-s", "1"], "envoy"):
        eventually(ready, 20)
        yield proxied


def _configuration(port: int, admin: int, ports: Sequence[int], failing: int) -> dict[str, Any]:
    filters: list[dict[str, Any]] = [_filter("envoy.filters.http.router", "filters.http.router.v3.Router")]
    route: dict[str, Any] = {"cluster": "guards", "timeout": "0s"}
    if failing:
        fault = {"abort": {"grpc_status": 14, "percentage": {"numerator": failing, "denominator": "HUNDRED"}}}
        filters.insert(0, _filter("envoy.filters.http.fault", "filters.http.fault.v3.HTTPFault", fault))
    else:
        route["retry_policy"] = {
            "retry_on": "unavailable,connect-failure,refused-stream",
            "num_retries": 3,
            "host_selection_retry_max_attempts": "5",
            "retry_host_predicate": [
                _filter(
                    "envoy.retry_host_predicates.previous_hosts",
                    "retry.host.previous_hosts.v3.PreviousHostsPredicate",
                )
            ],
        }
    manager = {
        "stat_prefix": "in",
        "http2_protocol_options": {},
        "http_filters": filters,
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]
        },
    }
    cluster = {
        "name": "guards",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": "1s",
        "circuit_breakers": {
            "thresholds": [{"max_retries": 1000}]
        },  # by default three calls may be asked again at once
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "0.25s",
                "no_traffic_interval": "0.25s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": "xmguard.v1.GuardService"},
            }
        ],
        "load_assignment": {
            "cluster_name": "guards",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(one)}} for one in ports]}],
        },
    }
    chain = {"filters": [_filter("envoy.filters.network.http_connection_manager", _MANAGER, manager)]}
    return {
        "admin": {"address": _socket(admin)},
        "static_resources": {
            "listeners": [{"name": "in", "address": _socket(port), "filter_chains": [chain]}],
            "clusters": [cluster],
        },
    }


_MANAGER = "filters.network.http_connection_manager.v3.HttpConnectionManager"


def _filter(name: str, kind: str, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{_TYPES}.{kind}", **(settings or {})}}


def _socket(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
