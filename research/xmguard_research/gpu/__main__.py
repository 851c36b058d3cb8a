"""The command: `python -m xmguard_research.gpu`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from xmguard.backends.vllm.gpu_evidence import (
    ATTENTION,
    BATCHES,
    CONTEXTS,
    FILE,
    GpuRun,
    Parity,
    Speed,
    code_hash,
    unverified,
)
from xmguard.backends.vllm.gpu_timing import VARIANTS, Timed, gpu
from xmguard.cli.terminal import stated_errors
from xmguard.contracts import Backend
from xmguard.errors import SetupIncomplete

DTYPES = {"FLASH_ATTN": ("bfloat16",), "TRITON_ATTN": ("float32", "bfloat16")}
"""What each attention backend of vLLM's takes."""
LENGTHS = (1, 12, 80)
"""How often each span says its sentence."""


def main(
    model: Annotated[str, typer.Option(help="Model name or folder, for parity and speed.")] = "smollm2",
    speed_model: Annotated[
        str,
        typer.Option(
            help="Folder of the model that is timed, which must take 32800 tokens; without it, speed is not measured."
        ),
    ] = "",
    out: Annotated[Path, typer.Option(help="Where the record goes; it counts once it is committed there.")] = FILE,
    attention: Annotated[str, typer.Option(help="Which of vLLM's attention backends.")] = ",".join(ATTENTION),
    batches: Annotated[str, typer.Option(help="Requests decoded together.")] = ",".join(map(str, BATCHES)),
    contexts: Annotated[str, typer.Option(help="Tokens of each prompt.")] = ",".join(map(str, CONTEXTS)),
) -> None:
    """Show on a CUDA GPU that a bias is applied exactly by the vLLM engine, and what it costs.

    Every bias is read on prompts of three lengths, with captured graphs and without, and compared with the
    transformers engine in float32. Then decoding is timed: plain vLLM, xmguard installed but idle, and every
    request steered and measured. The record says what was found, whether good or bad; until one that is good is
    committed with the code it was made with, serving on CUDA needs --experimental.
    """
    backends = tuple(attention.split(","))
    if unknown := sorted(set(backends) - set(ATTENTION)):
        raise typer.BadParameter(f"--attention does not know {', '.join(unknown)}; known: {', '.join(ATTENTION)}")
    sizes = _numbers(batches, "--batches"), _numbers(contexts, "--contexts")
    device, capability, version = gpu()
    run = GpuRun(
        device=device,
        capability=capability,
        vllm=version,
        code=code_hash(),
        parity=tuple(_parity(model, backends)),
        speed=tuple(_speed(speed_model, backends[0], *sizes)) if speed_model else (),
    )
    run.write(out)
    for one in run.parity:
        print(f"{'ok ' if one.passed else 'BAD'} {one}")
    for each in run.speed:
        print(f"batch {each.batch}, context {each.context}: {each.ratio:.3f} of plain vLLM")
    if (why := unverified(version, capability, out)) is not None:
        raise SetupIncomplete(f"CUDA stays unverified: {why}")
    print(f"{out} shows it; commit it with the code it was made with")


def _parity(model: str, backends: Sequence[str]) -> list[Parity]:
    from xmguard.models.resolve import resolve
    from xmguard.plugins import load_plugins
    from xmguard_research.gpu.parity import BIASES, compare, prompt_of, read

    plugins = load_plugins()
    path = resolve(model, plugins).path
    reference = _load("transformers", path, registry=plugins)
    prompts = {length: prompt_of(reference, length) for length in LENGTHS}
    cases = [(name, length) for name in BIASES for length in LENGTHS]
    wanted = {case: read(reference, prompts[case[1]], BIASES[case[0]]) for case in cases}
    reference.close()
    found = []
    for backend in backends:
        for dtype, eager in product(DTYPES[backend], (False, True)):
            options = {"experimental": True, "attention_backend": backend, "enforce_eager": eager}
            ours = _load("vllm", path, registry=plugins, device="cuda", dtype=dtype, options=options)
            for case in cases:
                got = read(ours, prompts[case[1]], BIASES[case[0]], wanted[case].answer)
                found.append(compare(*case, wanted[case], got, backend=backend, dtype=dtype, graphs=not eager))
            ours.close()
    return found


def _load(engine: str, path: Path, **settings: Any) -> Backend:
    """The folder's weights alone: a profile may bring a probe, which is not run on CUDA."""
    load: Callable[..., Backend] = import_module(f"xmguard.backends.{engine}.loader").load
    return load(path, **settings)


def _speed(model: str, backend: str, batches: tuple[int, ...], contexts: tuple[int, ...]) -> list[Speed]:
    seconds: dict[str, dict[tuple[int, int], float]] = {}
    for variant in VARIANTS:
        timed = Timed(model, variant, backend, "bfloat16", batches, contexts)
        command = [sys.executable, "-m", "xmguard.backends.vllm.gpu_timing", timed.arguments()]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(done.stdout.strip().splitlines()[-1])
        seconds[variant] = {(batch, context): value for batch, context, value in told}
    return [
        Speed(*size, backend, *(seconds[variant][size] for variant in VARIANTS)) for size in sorted(seconds["plain"])
    ]


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes whole numbers with commas between them, not {text!r}") from error
    if min(numbers) < 1:
        raise typer.BadParameter(f"{option} takes numbers from 1 on, not {text!r}")
    return tuple(sorted(set(numbers)))


if __name__ == "__main__":
    with stated_errors():
        typer.run(main)
