"""What an engine counts itself, on prometheus_client's own registry of its process; the server's metrics are not on it.

Knows no link: how a page gets from a worker to the front is not its business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_PYTHON = ("python_", "process_")
"""What that registry tells of any process."""

_CACHE_USAGE = "vllm:kv_cache_usage_perc"
"""From 0 to 1, whatever its name says; one series per core of the engine."""


def engine_page() -> bytes | None:
    """The page of the engine in this process, under its own names; None if it counts nothing."""
    if all(family.name.startswith(_PYTHON) for family in REGISTRY.collect()):
        return None
    return generate_latest(REGISTRY)


def cache_usage() -> float | None:
    """The used share of the engine's key-value cache, of the fullest if there are several; None if it tells none."""
    told = REGISTRY.restricted_registry([_CACHE_USAGE]).collect()
    return max((sample.value for family in told for sample in family.samples), default=None)


def together(pages: Mapping[int, bytes]) -> bytes:
    """The pages of workers as one; each series says by a label of which worker it is."""
    registry = CollectorRegistry()
    registry.register(_Pages(pages))
    return generate_latest(registry)


class _Pages(Collector):
    def __init__(self, pages: Mapping[int, bytes]) -> None:
        self._pages = pages

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for number, page in self._pages.items():
            for family in text_string_to_metric_families(page.decode()):
                one = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    one.add_sample(sample.name, {**sample.labels, "worker": str(number)}, sample.value)
        yield from families.values()
