"""The weights that travel in this distribution: one safetensors file, and a manifest that says what it is.

The tower, the projector and the language model's adapter, in half precision; the language model itself is referenced.
Tensors are named as the model's parts are, the adapter's as PEFT names them: `vision_tower.…`, `projector.…`,
`language_model.layers.0.self_attn.q_proj.lora_A.weight`. Knows files and hashes, no model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xmguard.errors import ModelRefused, PluginError, SetupIncomplete

FOLDER = Path(__file__).parent / "weights"
TENSORS = "smolvlm_tiny.safetensors"
MANIFEST = "manifest.json"
LIMIT = 30_000_000
"""Bytes that the tensors' file may have."""
TRAIN = "make vlm, which is python -m xmguard_research.tiny_vlm train, then export"


@dataclass(frozen=True)
class Manifest:
    """What the tensors are, and what they were made for."""

    sha256: str
    """Of the tensors' file, hexadecimal."""
    base: str
    """Name of the cache folder of the language model they adapt."""
    lora_scale: float
    """An adapted weight is W + lora_scale * B A."""
    vision: Mapping[str, Any]
    """Keyword arguments of the vision configuration."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """The recipe, for readers."""


def read_manifest(folder: Path = FOLDER) -> Manifest | None:
    """The manifest, or None where no weights were put into the distribution.

    Raises:
        PluginError: the file is no manifest.
    """
    file = folder / MANIFEST
    if not file.is_file():
        return None
    try:
        return Manifest(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise PluginError(
            f"{file} is no manifest: {type(error).__name__}: {error}; install xmguard-smolvlm-tiny again, "
            f"or make its weights: {TRAIN}"
        ) from error


def checked_tensors(manifest: Manifest, folder: Path = FOLDER) -> Path:
    """Path of the tensors' file, whose hash is the manifest's.

    Raises:
        SetupIncomplete: the file is missing.
        ModelRefused: it is another file than the manifest says.
    """
    file = folder / TENSORS
    if not file.is_file():
        raise SetupIncomplete(f"{file} is missing; install xmguard-smolvlm-tiny again, or make it: {TRAIN}")
    found = _sha256(file)
    if found != manifest.sha256:
        raise ModelRefused(
            "smolvlm-tiny",
            [f"{file.name} has SHA-256 {found}, expected {manifest.sha256}; install xmguard-smolvlm-tiny again"],
        )
    return file


def write(
    tensors: Mapping[str, Any], folder: Path, *, base: str, lora_scale: float, vision: Any, training: Any
) -> Manifest:
    """Write tensors, halved, and manifest; what `checked_tensors` accepts afterwards.

    Raises:
        ModelRefused: some are not finite in half precision, or all are too large to travel; nothing is written.
    """
    import torch
    from safetensors.torch import save

    halved = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in sorted(tensors.items())}
    if strange := [name for name, tensor in halved.items() if not tensor.isfinite().all()]:
        raise ModelRefused("smolvlm-tiny", [f"{name} is not finite in half precision" for name in strange])
    content = save(halved)
    if len(content) > LIMIT:
        raise ModelRefused("smolvlm-tiny", [f"its weights take {len(content)} bytes; {LIMIT} may travel"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TENSORS).write_bytes(content)
    (folder / TENSORS).chmod(0o644)
    manifest = Manifest(_sha256(folder / TENSORS), base, lora_scale, vision, training)
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    return manifest


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
