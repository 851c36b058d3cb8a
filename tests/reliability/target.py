"""What a reliability target is: what is measured, its bound, and when a miss is a defect.

A bound on what is right or wrong (nothing lost, nothing truncated) holds on any machine. A bound on time or memory was
set for two idle cores; the short form, which runs wherever continuous integration does, fails only beyond `slack` times
of it. The table says "missed" in both forms. Knows no server and no tool.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.reliability.stage import Stage


@dataclass(frozen=True)
class Measure:
    """One number and the bound it has to keep."""

    what: str
    value: float
    bound: float
    unit: str = ""
    at_least: bool = False
    """Whether the bound is the smallest value and not the largest."""
    slack: float = 1.0
    """Factor by which the short form lets it be beyond the bound."""

    @property
    def met(self) -> bool:
        return self._within(1.0)

    def fails(self, *, short: bool) -> bool:
        """Whether the run fails by it."""
        return not self._within(self.slack if short else 1.0)

    def _within(self, slack: float) -> bool:
        return self.value * slack >= self.bound if self.at_least else self.value <= self.bound * slack


@dataclass(frozen=True)
class Skip:
    """A part that could not be measured here."""

    what: str
    why: str


Finding = Measure | Skip


@dataclass(frozen=True)
class Target:
    """One of R1 to R17."""

    name: str
    title: str
    check: Callable[[Stage], Iterator[Finding]]
    slack: str = "every bound is enforced as it is"
    """What the short form enforces, and why."""


@dataclass
class Result:
    """What came of a target."""

    target: Target
    findings: list[Finding] = field(default_factory=list)
    error: str = ""
    """Why the check itself could not finish."""
    seconds: float = 0.0

    @property
    def measures(self) -> list[Measure]:
        return [one for one in self.findings if isinstance(one, Measure)]

    @property
    def verdict(self) -> str:
        """`met`, `MISSED`, `SKIPPED`, `ERROR`, or `met, parts skipped`."""
        if self.error:
            return "ERROR"
        if any(not one.met for one in self.measures):
            return "MISSED"
        if not self.measures:
            return "SKIPPED"
        return "met" if len(self.measures) == len(self.findings) else "met, parts skipped"

    def fails(self, *, short: bool) -> bool:
        """Whether the run fails by it."""
        return bool(self.error) or any(one.fails(short=short) for one in self.measures)


def run(target: Target, stage: Stage) -> Result:
    """Measure; what was found before an error is kept."""
    result, began = Result(target), time.monotonic()
    try:
        with stage.limited():
            for finding in target.check(stage):
                result.findings.append(finding)
                stage.tell(target.name, finding)
    except Exception as error:  # one target that cannot be measured leaves the others
        result.error = f"{type(error).__name__}: {error}".strip()
        stage.told(f"{target.name} could not be measured: {result.error}")
    result.seconds = time.monotonic() - began
    return result
