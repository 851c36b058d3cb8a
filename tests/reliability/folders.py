"""R13: model folders that would run code are refused before anything of them is read."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.reliability.stage import BARE, ROOT, Absent, Stage, misses, real_command
from tests.reliability.target import Finding, Measure, Skip, Target
from tests.reliability.tiny import tiny_model

_LOAD = """
import json, sys
from xmguard.errors import XmguardError
from xmguard.loading import load_guard
ends = []
for name, sha256 in json.loads(sys.stdin.read()):
    try:
        load_guard(name, sha256=sha256)
        ends.append("")
    except XmguardError as error:
        ends.append(str(error) or type(error).__name__)
print(json.dumps(ends))
"""


class _Payload:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> object:
        return os.system, (f"touch {self._trace}",)


def folders(stage: Stage) -> Iterator[Finding]:
    tiny, trace = tiny_model(stage), stage.folder / "trace"
    # Proves that the corpus is what it says: read by pickle, it leaves its trace.
    payload = pickle.dumps(_Payload(trace))
    subprocess.run(
        [sys.executable, "-c", "import pickle,sys; pickle.load(sys.stdin.buffer)"], input=payload, check=True
    )
    yield Measure("payloads that leave a trace when unpickled", int(trace.exists()), 1, at_least=True)
    trace.unlink(missing_ok=True)
    made = {name: _made(stage, tiny, name, change) for name, change in _corpus(trace, payload).items()}
    # The last one is as it should be: what refuses everything would pass the rest.
    *ends, of_another_hash, good = _loaded([*((folder, "") for folder in made.values()), (tiny, "0" * 64), (tiny, "")])
    loaded = [name for name, end in zip(made, ends, strict=True) if not end]
    yield Measure("folders", len(made), 12, at_least=True)
    yield misses(f"of them, loaded{f' ({loaded[0]})' if loaded else ''}", len(loaded))
    yield misses("weights of another hash, loaded", int(not of_another_hash))
    yield Measure("the same folder unspoilt, loaded", int(not good), 1, at_least=True)
    served = subprocess.run(
        real_command("--model", str(made["pickle"])), capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    lines = [line for line in served.stderr.splitlines() if line.startswith("error:")]
    yield misses("`xmguard serve` on one: not status 2 with one line", int(served.returncode != 2 or len(lines) != 1))
    yield misses("traces of code that ran", int(trace.exists()))
    yield from _scanned(stage, made)


def _loaded(asked: Sequence[tuple[Path, str]]) -> list[str]:
    """Why each folder was not loaded, in one process of its own; each with the hash it must have, if any."""
    done = subprocess.run(
        [sys.executable, "-c", _LOAD],
        input=json.dumps([(str(folder), sha256) for folder, sha256 in asked]),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=BARE,
        check=True,
    )
    ends: list[str] = json.loads(done.stdout.splitlines()[-1])
    return ends


def _made(stage: Stage, tiny: Path, name: str, change: Callable[[Path], None]) -> Path:
    folder = stage.folder / "spoilt" / name.replace(" ", "-")
    shutil.copytree(tiny, folder)
    change(folder)
    return folder


def _corpus(trace: Path, payload: bytes) -> dict[str, Callable[[Path], None]]:
    """What is wrong with a folder, and how it is made so."""
    code = f"import os; os.system('touch {trace}')"

    def written(name: str, data: bytes) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

        return write

    def zipped(name: str, inner: str) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            with zipfile.ZipFile(folder / name, "w") as archive:
                archive.writestr(inner, payload)

        return write

    def asking(name: str) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            path = folder / name
            settings = json.loads(path.read_text()) if path.exists() else {}
            path.write_text(json.dumps(settings | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
            (folder / "evil.py").write_text(code)

        return write

    def linked(folder: Path) -> None:
        outside = folder.parent / f"{folder.name}-outside"
        (folder / "model.safetensors").rename(outside)
        (folder / "model.safetensors").symlink_to(outside)

    def weights_only(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(payload)

    return {
        "pickle": written("model.pkl", payload),
        "pytorch pickle": written("pytorch_model.bin", payload),
        "pytorch archive": zipped("pytorch_model.pt", "archive/data.pkl"),
        "pickle in place of weights": weights_only,
        "checkpoint": written("last.ckpt", payload),
        "numpy pickle": written("extra.npy", b"\x93NUMPY\x01\x00" + payload),
        "numpy archive": zipped("extra.npz", "a.npy"),
        "joblib": written("scaler.joblib", payload),
        "keras": written("model.keras", payload),
        "pickle in a folder below": written("more/deep/WEIGHTS.PTH", payload),
        "code": written("modeling_tiny.py", code.encode()),
        "code below": written("more/conversion.py", code.encode()),
        "library": written("native.so", b"\x7fELF"),
        "auto_map in config": asking("config.json"),
        "auto_map in tokenizer": asking("tokenizer_config.json"),
        "link that leads out": linked,
    }


def _scanned(stage: Stage, made: dict[str, Path]) -> Iterator[Finding]:
    """What another project's scanner says of the corpus: that it really is dangerous."""
    try:
        picklescan = stage.tool("picklescan")
    except Absent as absent:
        yield Skip("picklescan's opinion of the corpus", str(absent))
        return
    scanned = subprocess.run([picklescan, "-p", str(made["pickle"])], capture_output=True, text=True, check=False)
    yield Measure("picklescan calls the pickle dangerous", int(scanned.returncode == 1), 1, at_least=True)


TARGETS = (Target("R13", "Model folders with code in them", folders),)
