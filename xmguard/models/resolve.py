"""From the name of a model to the folder it lies in.

A name is one that a plugin knows, a folder, or `owner/name` on the model hub. Looks at names only; whether the model
in the folder may be loaded is the backend's decision.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from xmguard.errors import ModelNotFound, SetupIncomplete
from xmguard.plugins import Registry

ALLOWED_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt")
"""What is taken from the hub: weights without code in them, settings, tokenizer. No Python, no pickles."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ResolvedModel:
    """A model that is on this machine."""

    name: str
    """What it is called in requests and reports."""
    path: Path
    profile: Path
    """Folder or file whose profile is the model's, if it holds one."""


def resolve(name: str, registry: Registry) -> ResolvedModel:
    """Find a model. A plugin's name wins over a folder of the same name: write `./name` for the folder.

    Raises:
        ModelNotFound: there is no such model here; the message says what to do.
        SetupIncomplete: a hub name was given and the hub's client is not installed.
    """
    source = registry.models.get(name)
    if source is not None:
        path = source.path()
        if path is None:
            raise ModelNotFound(f"model {name!r} is not on this machine yet; run: xmguard models pull {name}")
        return ResolvedModel(name, path, source.profile or path)
    folder = Path(name).expanduser()
    if folder.is_dir() and name.strip():
        return _from_folder(folder.resolve())
    if folder.is_file():
        raise ModelNotFound(f"{name} is a file; a model is a folder with config.json and *.safetensors in it")
    if _HUB_NAME.fullmatch(name):
        path = _from_hub(name)
        return ResolvedModel(name, path, path)
    known = ", ".join(registry.models.names()) or "none"
    raise ModelNotFound(
        f"no model {name!r}: it is none of the names known here ({known}), no folder, and no hub name (owner/name)"
    )


def _from_folder(folder: Path) -> ResolvedModel:
    if not (folder / "config.json").is_file():
        raise ModelNotFound(f"{folder} holds no config.json, so it is not a model folder as save_pretrained writes it")
    return ResolvedModel(folder.name, folder, folder)


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise SetupIncomplete(
            f'taking {name!r} from the model hub needs huggingface_hub; run: pip install "xmguard[hf]"'
        ) from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(ALLOWED_FILES)))
    # OSError covers the hub's HTTP errors, a lost connection and offline mode without a cached copy.
    except (OSError, HFValidationError) as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelNotFound(
            f"no model {name!r}: there is no folder of that name, and the model hub did not give it ({said}); "
            "give a folder, or a name listed by: xmguard models list"
        ) from error
