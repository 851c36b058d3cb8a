"""What an engine counts itself, on prometheus_client's own registry of its process."""

from __future__ import annotations

from prometheus_client import REGISTRY, generate_latest

_PYTHON = ("python_", "process_")
"""What that registry tells of any process."""


def engine_page() -> bytes | None:
    """The page of the engine in this process, under its own names; None if it counts nothing."""
    if all(family.name.startswith(_PYTHON) for family in REGISTRY.collect()):
        return None
    return generate_latest(REGISTRY)
