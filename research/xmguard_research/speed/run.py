"""Runs the benchmark and hands over the report as it grows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from xmguard.models.resolve import resolve
from xmguard.plugins import load_plugins
from xmguard_research.speed import memory
from xmguard_research.speed.cells import AGREEMENTS, SPANS, answer_cells, check_cells, decode_cells, whole_cells
from xmguard_research.speed.findings import in_words
from xmguard_research.speed.models import Models, endless
from xmguard_research.speed.prompts import prompt_of
from xmguard_research.speed.report import Report, Series, describe_machine
from xmguard_research.speed.timing import WARM_UP, Cell, Timed, Tokens, interleave

MEMORY_ROUNDS = 3
"""At most: a peak hardly varies, and each takes a process that loads the model."""
FIRST_TOKENS = 64
"""Context of the prompt that a model is used with before its memory is looked at."""

EXPERIMENTS = ("memory", "decode", "check", "whole", "answer")
"""In the order in which they are run."""

Progress = Callable[[str, int, int], None]
"""Told what is running, the rounds done so far and the rounds in all."""


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    model: str
    dtype: str
    threads: int
    contexts: tuple[int, ...]
    batches: tuple[int, ...]
    repeats: int
    steps: int = 32
    """Decoded tokens that a time per token is taken over, and tokens of a generation timed as a whole."""
    spans: tuple[int, ...] = SPANS
    """Numbers of spans of a check."""
    experiments: tuple[str, ...] = EXPERIMENTS
    """What is measured."""

    def quick(self) -> Settings:
        """So little of it that it runs in two minutes."""
        return replace(self, contexts=(256,), batches=(1,), repeats=2, spans=(2,), experiments=("decode", "check"))


def run(settings: Settings, *, tell: Progress, keep: Callable[[Report], None]) -> Report:
    """Measure; `keep` gets the report each time something was added to it.

    Raises:
        XmguardError: the model is not here, or is refused.
        RuntimeError: a variant did not do the work it is timed for.
    """
    disable_progress_bar()
    torch.set_num_threads(settings.threads)
    machine = describe_machine(threads=torch.get_num_threads())
    report = Report(machine, asdict(settings))
    folder = resolve(settings.model, load_plugins()).whole
    with tempfile.TemporaryDirectory() as scratch:
        models = Models(folder, endless(folder, Path(scratch)), settings.dtype)
        report = replace(report, settings={**report.settings, "model_hash": models.backend.model_hash})
        cells = [cell for cell in _cells(models, settings) if cell.experiment in settings.experiments]
        missing = memory.unavailable()
        if missing and "memory" in settings.experiments:
            report = replace(report, notes=(missing,))
        remembered = settings.contexts if "memory" in settings.experiments and not missing else ()
        in_all = len(cells) * (WARM_UP + settings.repeats) + len(remembered) * min(MEMORY_ROUNDS, settings.repeats)
        done = 0

        def advance(what: str) -> None:
            nonlocal done
            done += 1
            tell(what, done, in_all)

        for context in remembered:
            what = f"memory, context {context}"
            tell(what, done, in_all)
            report = report.with_series(*_memory(models, settings, context, partial(advance, what)))
            keep(report)
        for cell in cells:
            what = f"{cell.experiment}: {in_words(cell.case)}"
            tell(what, done, in_all)
            report = report.with_series(*time_cell(cell, settings.repeats, partial(advance, what)))
            keep(report)
    report = replace(report, complete=True)
    keep(report)
    return report


def time_cell(cell: Cell, repeats: int, tick: Callable[[], None] = lambda: None) -> Iterator[Series]:
    """The series of one cell."""
    with ExitStack() as stack:
        taken = interleave(cell.build(stack), repeats=repeats, tick=tick)
    for variant, timed in taken.items():
        reference = AGREEMENTS.get((cell.experiment, variant), "")
        yield Series(
            cell.experiment,
            cell.case,
            variant,
            tuple(sample.seconds for sample in timed),
            cell.divisor,
            tokens=_length(timed),
            agrees_with=reference,
            agreement=agreement(timed[-1].tokens, taken[reference][-1].tokens) if reference else None,
        )


def agreement(tokens: Tokens, reference: Tokens) -> float:
    """Share of positions at which sequences agree, over as many sequences as both have."""
    pairs = [a == b for row, other in zip(tokens, reference, strict=False) for a, b in zip(row, other, strict=True)]
    return sum(pairs) / len(pairs)


def _cells(models: Models, settings: Settings) -> Iterator[Cell]:
    # From here on models are loaded when the first cell that needs them is built.
    yield from decode_cells(models, settings.contexts, settings.batches, settings.steps)
    yield from check_cells(models, settings.spans)
    yield from whole_cells(models, settings.contexts, settings.steps)
    yield from answer_cells(models, settings.contexts, settings.steps)


def _memory(models: Models, settings: Settings, context: int, tick: Callable[[], None]) -> list[Series]:
    first, prompt = prompt_of(models.backend, FIRST_TOKENS), prompt_of(models.backend, context)
    peaks: Mapping[str, list[memory.Peak]] = {variant: [] for variant in memory.VARIANTS}
    for _ in range(min(MEMORY_ROUNDS, settings.repeats)):
        for variant, measured in peaks.items():
            job = memory.Job(
                variant, str(models.endless), settings.dtype, settings.threads, settings.steps, first, prompt
            )
            measured.append(memory.measure(job))
        tick()
    case = {"context": context}
    return [
        Series(experiment, case, variant, size(measured), unit="bytes")
        for experiment, size in (("process", _peaks), ("growth", _growths))
        for variant, measured in peaks.items()
    ]


def _peaks(measured: Sequence[memory.Peak]) -> tuple[float, ...]:
    return tuple(float(one.peak) for one in measured)


def _growths(measured: Sequence[memory.Peak]) -> tuple[float, ...]:
    return tuple(float(one.peak - one.loaded) for one in measured)


def _length(timed: Sequence[Timed]) -> int:
    """Tokens of each sequence.

    Raises:
        RuntimeError: sequences or rounds differ, so that times of different work would be compared.
    """
    lengths = {len(row) for sample in timed for row in sample.tokens}
    if len(lengths) > 1:
        raise RuntimeError(f"one variant decoded sequences of {sorted(lengths)} tokens")
    return lengths.pop() if lengths else 0
