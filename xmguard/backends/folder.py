"""What makes a model folder unacceptable whatever is in its weights, and what its weights hash to.

Looks at file names, JSON and bytes: nothing of the model is imported or unpickled to find out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")


def reasons(folder: Path, config: Mapping[str, Any]) -> list[str]:
    """Every reason why a folder cannot be loaded safely and whole; empty if there is none.

    Args:
        folder: the model folder.
        config: what its config.json says; empty when that could not be read.
    """
    found = []
    if config.get("quantization_config"):
        found.append("its weights are quantised, and contributions need the plain output projection")
    tokenizer_config, _ = read_json(folder / "tokenizer_config.json")
    if "auto_map" in config or "auto_map" in tokenizer_config:
        found.append("it asks to run its own code (auto_map), which is never done")
    code = sorted(path.name for path in folder.glob("*.py"))
    if code:
        found.append(f"it holds code ({', '.join(code)}); remove it")
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        found.append(f"it holds pickled files ({', '.join(pickles)}), which can run code; keep safetensors only")
    if not list(folder.glob("*.safetensors")):
        found.append("it holds no *.safetensors weights")
    if not (folder / "tokenizer.json").is_file():
        found.append("it holds no tokenizer.json")
    return found


def read_json(path: Path) -> tuple[dict[str, Any], str]:
    """A file's JSON object, or an empty one and what is wrong with the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, f"it holds no {path.name}"
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"its {path.name} cannot be read: {error}"
    if not isinstance(content, dict):
        return {}, f"its {path.name} is not a JSON object"
    return content, ""


def weights_hash(folder: Path) -> str:
    """SHA-256 over the weight files, in name order, hexadecimal."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
