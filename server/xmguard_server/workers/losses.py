"""Why workers are lost."""

from __future__ import annotations

from enum import Enum


class LossReason(Enum):
    """Why a worker was lost, as a closed set: a label of the metric."""

    CRASH = "crash"
    """Its process ended."""
    HANG = "hang"
    """A step took too long, and it was killed."""
    ENGINE = "engine"
    """Its engine failed."""
    LOAD = "load"
    """It could not load the guard again."""
