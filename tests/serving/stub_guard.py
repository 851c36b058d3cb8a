"""A guard without a model for tests of serving: settable time, tokens and memory, and switches to crash or hang.

It is loaded by real worker processes behind the real command: this module, run as a program, is `xmguard` with only
the function replaced that loads a guard. `--engine-option` gives the defaults of `Behaviour`, and a request's question
may change them for itself: `tokens=100 step=0.02 fault=crash after=3`.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from xmguard.contracts import GuardEvent, Observer
from xmguard.deadline import Stop
from xmguard.errors import EngineError, InvalidRequest, ModelRefused
from xmguard.request import AnswerRequest, OnError, Scope
from xmguard.response import (
    AnswerResponse,
    CheckResponse,
    ConflictVerdict,
    Decision,
    Delta,
    Done,
    Event,
    FinishReason,
    Imbalance,
    ModelInfo,
    Rebalancing,
    SpanReport,
    Started,
    Status,
    Usage,
)

ROOT = Path(__file__).parents[2]
VERDICT = ConflictVerdict(Decision.CONFLICT, 0.9, Status.OK, "they differ")
READY = re.compile(r"xmguard: serving stub on (127\.0\.0\.1:\d+), metrics on (http://127\.0\.0\.1:\d+/metrics)")


@dataclass(frozen=True)
class Behaviour:
    """What a request takes, and what goes wrong with it."""

    tokens: int = 4
    """Steps of the answer, one delta each."""
    step: float = 0.0
    """Seconds of a step."""
    busy: int = 0
    """1: a step computes in Python all that time instead of sleeping."""
    size: int = 1
    """Characters of a delta."""
    cost: int = 100
    """Tokens that it says it takes, whatever it really does; a fifth of that without its evidence."""
    evidence: int = 0
    """Tokens that it says were run for its evidence."""
    memory: int = 0
    """MiB that a request holds while it runs."""
    says: int = 0
    """Characters that it prints, half of them as an error, as libraries do."""
    fault: str = ""
    """crash, exit, hang, freeze (a hang that holds Python's lock), stall (before it is prepared), bug,
    engine, or allocator (as torch says it)."""
    after: int = 0
    """Steps before the fault."""


@dataclass(frozen=True)
class StubRequest:
    """A prepared request."""

    request: AnswerRequest
    behaviour: Behaviour

    @property
    def cost(self) -> int:
        return self.behaviour.cost

    @property
    def cost_without_evidence(self) -> int:
        return self.behaviour.cost // 5

    @property
    def may_skip_evidence(self) -> bool:
        return self.request.on_error is OnError.OPEN


@dataclass
class StubBackend:
    """Stands for the model."""

    concurrency: int = 1
    failure: str = ""
    never_closed: bool = False

    def close(self) -> None:
        while self.never_closed:
            time.sleep(3600)


@dataclass
class StubGuard:
    """Does what its behaviour says."""

    behaviour: Behaviour
    observers: Sequence[Observer]
    backend: StubBackend
    observer_failures: Mapping[str, int] = field(default_factory=dict)

    def prepare(self, request: AnswerRequest, *, answers: bool) -> StubRequest:
        if not request.spans:
            raise InvalidRequest.field("spans", "there is none; send at least one")
        behaviour = changed(self.behaviour, dict(re.findall(r"(\w+)=(\S+)", request.question)))
        if behaviour.fault == "stall":
            time.sleep(3600)
        return StubRequest(request, behaviour)

    def stream(
        self, ready: StubRequest, *, stop: Stop, request_id: str, queue_seconds: float, skip_evidence: str
    ) -> Iterator[Event]:
        began = time.monotonic()
        does = ready.behaviour
        held = bytearray(does.memory << 20)
        for stream in (sys.stdout, sys.stderr) if does.says else ():
            print("x" * (does.says // 2), file=stream, flush=True)
        spans = tuple(
            SpanReport(span.id, "text", span.language or "en", tokens=7, share_before=0.3, share_after=0.4)
            for span in ready.request.spans
        )
        verdict = ConflictVerdict(status=Status.SKIPPED, reason=skip_evidence) if skip_evidence else VERDICT
        yield Started(request_id, spans)
        yield verdict
        for step in range(does.tokens):
            stop.check()
            if does.fault and step == does.after:
                self._go_wrong(does.fault)
            pass_time(does)
            yield Delta("x" * does.size)
        del held
        response = AnswerResponse(
            request_id=request_id,
            answer="x" * does.size * does.tokens,
            verdict=verdict,
            spans=spans,
            imbalance=Imbalance(log_ratio_before=2.0, log_ratio_after=0.5),
            rebalancing=Rebalancing(True, "fixed", "", Scope.READERS),
            usage=Usage(
                *(40, does.tokens, time.monotonic() - began),
                queue_seconds=queue_seconds,
                evidence_tokens=does.evidence,
            ),
            finish_reason=FinishReason.STOP,
        )
        self._tell(GuardEvent("answer", ready.request, response, 0.01))
        yield Done(response)

    def check(self, ready: StubRequest, **arguments: Any) -> CheckResponse:
        quiet = replace(self, observers=())
        done = list(quiet.stream(ready, **arguments))[-1]
        assert isinstance(done, Done)
        said = done.response
        response = CheckResponse(said.request_id, said.verdict, said.spans, usage=said.usage)
        self._tell(GuardEvent("check", ready.request, response, None))
        return response

    def describe(self, model: str = "") -> ModelInfo:
        return ModelInfo(model="stub", engine="stub", calibration="not calibrated: a stub")

    def _tell(self, event: GuardEvent) -> None:
        for observer in self.observers:
            observer.observe(event)

    def _go_wrong(self, fault: str) -> None:
        match fault:
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                raise SystemExit("gave up")
            case "hang":
                time.sleep(3600)
            case "freeze":
                ctypes.PyDLL(None).sleep(3600)
            case "bug":
                raise KeyError("of the stub")
            case "engine":
                self.backend.failure = "it is gone"
                raise EngineError("the engine failed: it is gone")
            case "allocator":
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")


def pass_time(does: Behaviour) -> None:
    """One step."""
    if not does.busy:
        time.sleep(does.step)
    end = time.monotonic() + does.step
    while does.busy and time.monotonic() < end:
        pass


def changed(behaviour: Behaviour, settings: Mapping[str, Any]) -> Behaviour:
    """The behaviour with what else it is told, from words."""
    return replace(behaviour, **{name: type(getattr(behaviour, name))(value) for name, value in settings.items()})


def load(
    *,
    model: str,
    options: Mapping[str, Any],
    observers: Sequence[Observer],
    progress: Callable[[str], None],
    **unused: object,
) -> StubGuard:
    """As `xmguard.loading.load_guard`.

    Beside what is of `Behaviour`, `options` may hold `concurrency`, `load` (seconds), `child` (start a process, as
    engines do), `needs` (a file without which loading is refused) and `never_closed` (closing the engine never ends).
    """
    progress("loading the stub")
    settings = dict(options)
    time.sleep(float(settings.pop("load", 0.0)))
    if settings.pop("child", False):
        subprocess.Popen(["sleep", "3600"])
    needed = settings.pop("needs", None)
    if needed is not None and not Path(str(needed)).exists():
        raise ModelRefused("stub", [f"{needed} is not there"])
    never_closed = bool(settings.pop("never_closed", False))
    backend = StubBackend(concurrency=int(settings.pop("concurrency", 1)), never_closed=never_closed)
    return StubGuard(changed(Behaviour(), settings), observers, backend)


@dataclass(frozen=True)
class StubServer:
    """The command as a process, around workers with the stub."""

    process: subprocess.Popen[str]
    address: str
    metrics_url: str
    log: Path


def command(*arguments: str) -> list[str]:
    """The command line of a server on free ports."""
    return [sys.executable, "-m", "tests.serving.stub_guard", "serve", "--port", "0", "--admin-port", "0", *arguments]


@contextmanager
def stub_server(log: Path, *arguments: str, **options: object) -> Iterator[StubServer]:
    """A server that is ready; `log`, a file or a device, gets its stderr. Ended, and all its workers, on leaving."""
    told = [word for name, value in options.items() for word in ("--engine-option", f"{name}={value}")]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command(*arguments, *told), stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = READY.match(line)
        assert match, line + (log.read_text() if log.is_file() else "")
        yield StubServer(process, match[1], match[2], log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.terminate()  # at once
        process.wait(20)
        process.stdout.close()


def main() -> None:
    """The `xmguard` command with the stub in place of a model."""
    from xmguard.cli.app import run
    from xmguard_server import commands

    with patch.object(commands, "GUARD", "tests.serving.stub_guard:load"):
        run()


if __name__ == "__main__":
    main()
