"""What makes a model folder unacceptable whatever is in its weights, and what its weights hash to.

Looks at file names, JSON and bytes: nothing of the model is imported or unpickled to find out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

_PICKLES = (
    *("*.bin", "*.ckpt", "*.dill", "*.joblib", "*.npy", "*.npz", "*.pickle", "*.pkl", "*.pt", "*.pth"),
    *("*.h5", "*.keras"),  # may hold functions, as bytecode
)


def reasons(folder: Path, config: Mapping[str, Any]) -> list[str]:
    """Every reason why a folder cannot be loaded safely and whole; empty if there is none.

    Args:
        folder: the model folder.
        config: what its config.json says; empty when that could not be read.
    """
    found = []
    if config.get("quantization_config"):
        found.append("its weights are quantised, and contributions need the plain output projection")
    asking = sorted(path.name for path in folder.glob("*.json") if "auto_map" in read_json(path)[0])
    if asking:
        found.append(f"it asks to run its own code (auto_map), in {', '.join(asking)}, which is never done")
    code = _named(folder, ("*.py", "*.so", "*.pyd"))
    if code:
        found.append(f"it holds code ({', '.join(code)}); remove it")
    pickles = _named(folder, _PICKLES)
    if pickles:
        found.append(
            f"it holds files that can run code when they are read ({', '.join(pickles)}); keep safetensors only"
        )
    escaping = _leading_out(folder)
    if escaping:
        found.append(f"it holds links that lead out of it ({', '.join(escaping)}); put the files themselves there")
    if not list(folder.glob("*.safetensors")):
        found.append("it holds no *.safetensors weights")
    if not (folder / "tokenizer.json").is_file():
        found.append("it holds no tokenizer.json")
    return found


def _named(folder: Path, patterns: Sequence[str]) -> list[str]:
    """Files of some kinds, at any depth; names are compared without regard to case."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return sorted(name for name in names if any(fnmatch(name.lower(), pattern) for pattern in patterns))


def _leading_out(folder: Path) -> list[str]:
    """Links whose target is elsewhere. The hub's cache keeps contents beside the folders that link to them."""
    homes = [folder.resolve()]
    if homes[0].parent.name == "snapshots":
        homes.append(homes[0].parent.parent / "blobs")
    links = (path for path in folder.rglob("*") if path.is_symlink())
    return sorted(
        link.relative_to(folder).as_posix()
        for link in links
        if not any(link.resolve().is_relative_to(home) for home in homes)
    )


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
