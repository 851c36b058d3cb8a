"""Whether a run on a GPU has shown that a bias is applied exactly there: what such a run writes down, and reads back.

`python -m xmguard_research.gpu` writes `gpu_run.json` beside this file, to be committed with the code that it was made
with. It holds no longer once that code, or vLLM's minor version, is another one. Imports no engine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

BATCHES = (1, 16, 64)
CONTEXTS = (1024, 8192, 32768)
"""Tokens."""
TOLERANCES = {
    "float32": {"logprob": 1e-3, "mass": 1e-4, "norm": 1e-3},
    "bfloat16": {"logprob": 0.25, "mass": 0.02, "norm": 0.05},
}
"""Largest differences from eager attention: of a token's log-probability in nats, of an attention mass, and of a
contribution's norm relative to the largest of its layer."""
ATTENTION = ("FLASH_ATTN", "TRITON_ATTN")
"""vLLM's names of its attention backends that are steered."""
CASES = (
    "nothing",
    "lifted",
    "lowered",
    "removed",
    "three at once",
    "generated rows",
    "all rows",
    "target shares",
    "floor",
    "softened",
)
"""Biases that have to be read, on each of them and with captured graphs."""
FILE = Path(__file__).with_name("gpu_run.json")
_CODE = (
    "attention/slot_tables.py",
    "attention/triton_paged*.py",
    "backends/vllm/worker/cuda*.py",
    "backends/vllm/worker/reports.py",
    "backends/vllm/worker/sampling.py",
    "backends/vllm/worker/slots.py",
)


@dataclass(frozen=True)
class Parity:
    """One prompt read under one bias on both engines."""

    case: str
    """One of `CASES`."""
    repeats: int
    """How often each span says its sentence: what makes prompts longer."""
    backend: str
    """vLLM's name of its attention backend."""
    dtype: str
    logprob: float
    """Largest difference of a token's log-probability from eager attention, nats."""
    mass: float
    """Largest difference of an attention mass."""
    norm: float
    """Largest difference of a contribution's norm, relative to the largest of its layer."""
    graphs: bool
    """Whether decoding was replayed from captured graphs."""

    @property
    def passed(self) -> bool:
        """Whether each difference is within `TOLERANCES`; one that is not a number is not."""
        allowed = TOLERANCES[self.dtype]
        found = {"logprob": self.logprob, "mass": self.mass, "norm": self.norm}
        return all(found[name] <= most for name, most in allowed.items())


@dataclass(frozen=True)
class Speed:
    """Decoding of one batch: every request steered and measured, against plain vLLM, in one run."""

    batch: int
    context: int
    """Tokens of each prompt."""
    backend: str
    plain: float
    """Seconds per step, median."""
    idle: float
    """Seconds per step with xmguard installed and no request of its own."""
    steered: float
    """Seconds per step."""

    @property
    def ratio(self) -> float:
        """Throughput of steered requests, of that of plain vLLM."""
        return self.plain / self.steered


@dataclass(frozen=True)
class GpuRun:
    """What was found on one GPU."""

    device: str
    capability: tuple[int, int]
    vllm: str
    code: str
    """`code_hash` of what ran."""
    parity: tuple[Parity, ...]
    speed: tuple[Speed, ...]

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def read(path: Path) -> GpuRun:
        """What `write` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            told["capability"] = tuple(told["capability"])
            told["parity"] = tuple(Parity(**one) for one in told["parity"])
            told["speed"] = tuple(Speed(**one) for one in told["speed"])
            return GpuRun(**told)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path.name} is no record of a run: {error}") from error


def code_hash() -> str:
    """SHA-256 of the files that a run on a GPU is about, hexadecimal."""
    package = Path(__file__).parents[2]
    found = sha256()
    for pattern in _CODE:
        for path in sorted(package.glob(pattern)):
            found.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def unverified(vllm: str, capability: tuple[int, int] | None = None, path: Path = FILE) -> str | None:
    """Why it is not shown that a bias is applied exactly on CUDA; None if it is.

    Args:
        vllm: version of the vLLM that is installed.
        capability: of the GPU at hand; None asks of no particular one.
        path: of the record.
    """
    if not path.is_file():
        return "no run on a GPU has shown that a bias is applied exactly there"
    try:
        run = GpuRun.read(path)
    except ValueError as error:
        return f"the record of a run on a GPU cannot be read: {error}"
    if run.code != code_hash():
        return "the code has changed since it was run on a GPU"
    if run.vllm.split(".")[:2] != vllm.split(".")[:2]:
        return f"it was run on a GPU with vLLM {run.vllm}, not {vllm}"
    if capability is not None and run.capability[0] != capability[0]:
        return f"it was run on {run.device}; this GPU is of another generation"
    failed = [f"{one.case} on {one.backend} in {one.dtype}" for one in run.parity if not one.passed]
    if failed:
        return f"a run on {run.device} differed from eager attention: {', '.join(failed)}"
    tried = {(one.case, one.backend) for one in run.parity if one.graphs}
    if untried := [f"{case} on {backend}" for case in CASES for backend in ATTENTION if (case, backend) not in tried]:
        return f"a run on {run.device} did not try with captured graphs: {', '.join(untried)}"
    measured = {(one.batch, one.context) for one in run.speed}
    if missing := [(batch, context) for batch in BATCHES for context in CONTEXTS if (batch, context) not in measured]:
        return f"a run on {run.device} has no speed of batch and context {missing}"
    return None
