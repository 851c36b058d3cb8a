"""Where targets are measured: real servers as processes, the tools that load them, and how much is done in each form.

Knows how to start, look at and end things; what is measured with them is the targets' business.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import psutil

from tests import other_clients
from tests.reliability.target import Finding, Measure, Skip
from tests.scripted import scrape
from tests.serving.stub_guard import command

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
TOOLS = other_clients.FOLDER / "bin"
MIB = 1 << 20
BARE = {**os.environ, "XMGUARD_PLUGINS": ""}
"""For servers around the stub: plugins that happen to be installed here take their time to be loaded."""
_READY = re.compile(r"xmguard: serving \S+ on (127\.0\.0\.1:\d+).*metrics on (http://127\.0\.0\.1:\d+/metrics)")
_SHORT_LIMIT, _SOAK_LIMIT = 240, 6000
"""Seconds that one target may take."""


class Absent(Exception):
    """A tool is not there."""


@dataclass(frozen=True)
class Served:
    """A server under test."""

    process: subprocess.Popen[str]
    address: str
    metrics_url: str
    log: Path
    started: float
    """Seconds from its start until it said that it serves."""

    @property
    def front(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def workers(self) -> list[psutil.Process]:
        """Its worker processes that live, oldest first."""
        alive = [child for child in self.front.children() if child.status() != psutil.STATUS_ZOMBIE]
        return sorted(alive, key=lambda child: child.create_time())

    def metric(self, line: str) -> float:
        """The value of a series, written as on the page."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", scrape(self.metrics_url), re.MULTILINE)
        if found is None:
            raise LookupError(f"the page of metrics has no {line}")
        return float(found[1])

    def idle(self) -> bool:
        return self.metric("xmguard_requests_running") == 0 and self.metric("xmguard_requests_waiting") == 0

    def usable(self, workers: int) -> bool:
        """Whether so many workers are ready."""
        return self.metric("xmguard_workers_ready") == workers


@dataclass
class Stage:
    """One run of the table."""

    folder: Path
    short: bool
    told: Callable[[str], None] = print
    _files: int = 0
    _loop: asyncio.Runner = field(default_factory=asyncio.Runner)
    """One for everything: channels of grpc.aio do not outlive the loop that a process has first."""

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it to its end."""
        return self._loop.run(work)

    def close(self) -> None:
        """End what is left in the loop."""
        self._loop.close()

    def count(self, short: int, soak: int) -> int:
        """How often something is done in this form."""
        return short if self.short else soak

    def tell(self, name: str, finding: Finding) -> None:
        if isinstance(finding, Skip):
            self.told(f"{name} {finding.what}: skipped, {finding.why}")
        else:
            self.told(f"{name} {finding.what}: {finding.value:.4g} {finding.unit}{'' if finding.met else '  MISSED'}")

    def tool(self, name: str) -> str:
        """Where a tool is.

        Raises:
            Absent: it is not installed, with how to.
        """
        own = TOOLS / name
        path = str(own) if own.exists() else shutil.which(name)
        if path is None:
            raise Absent(f"{name} is not installed")
        return path

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Raise TimeoutError in the block when it takes too long."""
        limit = _SHORT_LIMIT if self.short else _SOAK_LIMIT

        def over(number: int, frame: FrameType | None) -> None:
            raise TimeoutError(f"it was not over after {limit} s")

        before = signal.signal(signal.SIGALRM, over)
        signal.alarm(limit)
        try:
            yield
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    def log(self, name: str) -> Path:
        """A file for what a process writes."""
        self._files += 1
        return self.folder / f"{name}-{self._files}.log"

    @contextmanager
    def stub(self, *arguments: str, **options: object) -> Iterator[Served]:
        """A server around the stub; `options` are its behaviour."""
        with self.serve(command(*arguments, *engine_options(options)), BARE) as served:
            yield served

    @contextmanager
    def real(self, *arguments: str, model: str = "smollm2") -> Iterator[Served]:
        """A server around a real model."""
        with self.serve(real_command("--model", model, *arguments)) as served:
            yield served

    @contextmanager
    def serve(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Served]:
        """A server that is ready; it and its workers are ended on leaving."""
        log, began = self.log("server"), time.monotonic()
        with log.open("w") as stderr:
            process = subprocess.Popen(
                arguments, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT, env=environment
            )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            ready = _READY.match(line)
            if ready is None:
                raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")
            yield Served(process, ready[1], ready[2], log, time.monotonic() - began)
        finally:
            end(process)

    @contextmanager
    def running(self, arguments: Sequence[str], name: str) -> Iterator[subprocess.Popen[str]]:
        """Another program, ended on leaving."""
        with self.log(name).open("w") as output:
            process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
        try:
            yield process
        finally:
            end(process)


def engine_options(options: dict[str, object]) -> list[str]:
    """The behaviour of the stub, as the command takes it."""
    return [word for name, value in options.items() for word in ("--engine-option", f"{name}={value}")]


def real_command(*arguments: str) -> list[str]:
    """The command line of a server with a real model, on free ports."""
    words = command(*arguments)
    return [sys.executable, "-m", "xmguard", *words[3:]]


def end(process: subprocess.Popen[str]) -> None:
    """End a process: as it is asked to, at once (which a second signal means), or by force."""
    for stop, seconds in ((process.terminate, 0.2), (process.terminate, 10), (process.kill, 10)):
        if process.poll() is None:
            stop()
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
    if process.stdout is not None:
        process.stdout.close()


def free_port() -> int:
    """One that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed (nearest rank); nan without any."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def misses(what: str, count: int) -> Measure:
    """Of what there must be none."""
    return Measure(what, count, 0)


def memory(process: psutil.Process) -> int:
    """Resident bytes."""
    return int(process.memory_info().rss)
