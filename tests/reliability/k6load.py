"""Load by k6, a generator that shares no code with xmguard's client."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.stage import ROOT, Stage, end

SCRIPT = Path(__file__).parent / "k6" / "load.js"


@dataclass(frozen=True)
class Load:
    """What a run of k6 saw; times in milliseconds."""

    successes: int
    failures: int
    per_second: float
    durations: Mapping[str, float]
    """`med`, `p(99)` and `max` of unary calls."""
    first: Mapping[str, float]
    """The same of the time to a stream's first message."""


class Running:
    """A k6 that loads a server; `wait` gives what it saw."""

    def __init__(self, process: subprocess.Popen[str], out: Path, log: Path, seconds: float) -> None:
        self._process, self._out, self._log, self._seconds = process, out, log, seconds

    def wait(self) -> Load:
        """Until it is over."""
        if self._process.wait(self._seconds + 60) or not self._out.exists():
            raise RuntimeError(f"k6 failed: {self._log.read_text()[-1500:]}")
        metrics = json.loads(self._out.read_text())
        values = {name: metric["values"] for name, metric in metrics.items()}
        successes = values.get("successes", {"count": 0, "rate": 0.0})
        return Load(
            int(successes["count"]),
            int(values.get("failures", {"count": 0})["count"]),
            float(successes["count"]) / self._seconds,
            values.get("grpc_req_duration", {}),
            values.get("first_message", {}),
        )

    @property
    def words(self) -> str:
        """What it said of the first failure."""
        found = re.search(r'message\W+([^"\\]*)', self._log.read_text())
        return found[1][:100] if found else ""


@contextmanager
def loading(
    stage: Stage, address: str, *, kind: str, question: str, seconds: float, users: int = 4, rate: int = 0
) -> Iterator[Running]:
    """Load in the background: `users` that ask again at once, or `rate` calls a second.

    Raises:
        Absent: k6 is not installed.
    """
    program = stage.tool("k6")
    out, log = stage.log("k6-summary"), stage.log("k6")
    told = {
        "ADDRESS": address,
        "KIND": kind,
        "QUESTION": question,
        "SECONDS": str(seconds),
        "VUS": str(users),
        "RATE": str(rate),
        "OUT": str(out),
        "PROTOS": str(ROOT / "protos"),
        "GOMAXPROCS": "1",
    }
    arguments = [program, "run", "--quiet", "--no-usage-report", "--address", "", str(SCRIPT)]
    with log.open("w") as output:
        process = subprocess.Popen(
            arguments, stdout=output, stderr=subprocess.STDOUT, text=True, env={**os.environ, **told}
        )
    try:
        yield Running(process, out, log, seconds)
    finally:
        end(process)


def load(stage: Stage, address: str, **settings: object) -> Load:
    """Load, and wait for what it saw; takes what `loading` takes."""
    with loading(stage, address, **settings) as running:  # type: ignore[arg-type]
        return running.wait()
