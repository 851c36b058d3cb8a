"""Peak memory of one variant in a process of its own. Linux only: nothing else tells the peak since a moment.

The process's lifetime maximum (`getrusage`) would not do: loading a model can take more than using it, and a new
process inherits the maximum of the one that started it. Reads its job as JSON from stdin, prints the result as JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xmguard.context import EncodedPrompt, SpanMap, SpanTokens
from xmguard_research.speed.report import PLAIN

VARIANTS = (PLAIN, "contributions", "weights")
"""Plain generation; xmguard with a bias and contributions; eager attention that returns its weights at each step."""

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Peak:
    """Resident memory in bytes."""

    loaded: int
    """Once the model is in memory and has been used."""
    peak: int
    """Highest from then on."""


@dataclass(frozen=True)
class Job:
    """One variant on one prompt."""

    variant: str
    folder: str
    """A model folder without an end token."""
    dtype: str
    threads: int
    steps: int
    first: EncodedPrompt
    """A short one, run before memory is looked at."""
    prompt: EncodedPrompt


def unavailable() -> str | None:
    """Why memory cannot be measured here, or None."""
    if _CLEAR.exists() and _STATUS.exists():
        return None
    return f"memory was not measured: it takes {_CLEAR} and {_STATUS}, which Linux has"


def measure(job: Job) -> Peak:
    """Run the job in a new process.

    Raises:
        RuntimeError: it failed; the message ends with what it said.
    """
    command = [sys.executable, "-m", "xmguard_research.speed.memory"]
    done = subprocess.run(command, input=json.dumps(asdict(job)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring the memory of {job.variant!r} failed: {done.stderr.strip()[-2000:]}")
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


def run(job: Job) -> Peak:
    """Load, use once, note; prefill and decode, note.

    Weights come into memory when they are first read, and so do an engine's buffers: without a first use they would
    count as growth for whoever reads fewer of them while loading.
    """
    import torch

    torch.set_num_threads(job.threads)
    work = _WORK[job.variant](job)
    work(job.first)
    gc.collect()
    _give_back()
    _CLEAR.write_text("5", encoding="ascii")  # proc(5): resets the peak resident set size
    loaded = _status("VmRSS")
    work(job.prompt)
    return Peak(loaded, _status("VmHWM"))


Work = Callable[[EncodedPrompt], object]


def _plain(job: Job) -> Work:
    from xmguard_research.speed import models, plain

    model = models.load_plain(Path(job.folder), "sdpa", job.dtype)
    return lambda prompt: plain.whole(model, _ids(prompt), tokens=job.steps + 1)


def _contributions(job: Job) -> Work:
    from xmguard import load_guard
    from xmguard_research.speed import guarded

    backend = load_guard(job.folder, dtype=job.dtype).backend

    def work(prompt: EncodedPrompt) -> object:
        branches = guarded.branches_of(prompt, "contributions", 1, steered=True, measured=True)
        return guarded.whole(backend, prompt, branches, tokens=job.steps + 1)

    return work


def _weights(job: Job) -> Work:
    from xmguard_research.speed import models, plain

    model = models.load_plain(Path(job.folder), "eager", job.dtype)
    return lambda prompt: plain.decode_with_weights(model, plain.prefill(model, _ids(prompt)), prompt, steps=job.steps)


_WORK: Mapping[str, Callable[[Job], Work]] = {
    PLAIN: _plain,
    "contributions": _contributions,
    "weights": _weights,
}


def _ids(prompt: EncodedPrompt) -> Sequence[int]:
    return (*prompt.context_ids, *prompt.joint_tail)


def _give_back() -> None:
    """Have the allocator return what is free: loading leaves some behind, which would hide as much growth."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl keeps nothing worth it
    if trim is not None:
        trim(0)


def _status(field: str) -> int:
    """A size of this process, in bytes."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{_STATUS} has no {field}")


def _job(data: dict[str, Any]) -> Job:
    return Job(**(data | {name: _prompt(data[name]) for name in ("first", "prompt")}))


def _prompt(data: dict[str, Any]) -> EncodedPrompt:
    spans = tuple(SpanTokens(**span) for span in data["span_map"]["spans"])
    tails = {name: tuple(data[name]) for name in ("context_ids", "joint_tail", "alone_tail", "unreadable")}
    return EncodedPrompt(span_map=SpanMap(spans, data["span_map"]["context_tokens"]), **tails)


if __name__ == "__main__":
    print(json.dumps(asdict(run(_job(json.load(sys.stdin))))))
