"""From the name of a model to the folder it lies in.

A name is one that a plugin knows, a folder, or `owner/name` on the model hub. Looks at names only; whether the model
in the folder may be loaded is the backend's decision. A folder that holds an adapter leads on to its base.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from xmguard.errors import ModelNotFound, ModelRefused, SetupIncomplete
from xmguard.fingerprints import of_files
from xmguard.models.checkpoint import AdapterSource, holds_adapter, read_adapter_card
from xmguard.plugins import Registry

DEFAULTS = ("smollm2-mixed", "smollm2")
"""The models that are taken where none is named, the preferred first."""
WITHOUT_A_NAME = f"Without it: the first of {', '.join(DEFAULTS)} that is on this machine."
"""`default_model` in words, for the help of options."""
ALLOWED_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt")
"""What is taken from the hub: weights without code in them, settings, tokenizer. No Python, no pickles."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ResolvedModel:
    """A model that is on this machine."""

    name: str
    """What it is called in requests and reports."""
    path: Path
    """Folder with the model's settings, weights and tokenizer."""
    profile: Path
    """Folder or file whose profile is the model's, if it holds one."""
    adapters: tuple[AdapterSource, ...] = ()
    """What is put onto the weights, in this order."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the files that the model is made from: weights, settings, tokenizer, and its adapters'."""
        folders = {"": self.path, **{f"adapter{number}/": one.folder for number, one in enumerate(self.adapters)}}
        return of_files(
            (prefix + path.name, path)
            for prefix, folder in folders.items()
            for pattern in ALLOWED_FILES
            for path in folder.glob(pattern)
        )

    @property
    def whole(self) -> Path:
        """`path`, for those that read no adapters.

        Raises:
            ModelRefused: it has one.
        """
        if self.adapters:
            whole = "it is an adapter on a base, and a whole model is needed; merge it first: xmguard mix export"
            raise ModelRefused(self.name, [whole])
        return self.path


def default_model(registry: Registry) -> str:
    """The name of the model that is taken where none is named: the first of `DEFAULTS` that is on this machine.

    The last of them if none is: what is said then names it, and how to get it.
    """
    sources = (registry.models.get(name) for name in DEFAULTS)
    return next((source.name for source in sources if source is not None and source.path()), DEFAULTS[-1])


def resolve(name: str, registry: Registry, *, above: tuple[Path, ...] = ()) -> ResolvedModel:
    """Find a model. A plugin's name wins over a folder of the same name: write `./name` for the folder.

    Args:
        name: what was asked for.
        registry: the plugins.
        above: folders of adapters whose base is looked for.

    Raises:
        ModelNotFound: there is no such model here, or not its base; the message says what to do.
        ModelRefused: it is an adapter whose card is no good, with every reason found.
        SetupIncomplete: a hub name was given and the hub's client is not installed.
    """
    source = registry.models.get(name)
    if source is not None:
        path = source.path()
        if path is None:
            raise ModelNotFound(f"model {name!r} is not on this machine yet; run: xmguard models pull {name}")
        return _from_folder(path, registry, above, name, source.profile)
    folder = Path(name).expanduser()
    if folder.is_dir() and name.strip():
        return _from_folder(folder.resolve(), registry, above)
    if folder.is_file():
        raise ModelNotFound(f"{name} is a file; a model is a folder with config.json and *.safetensors in it")
    if _HUB_NAME.fullmatch(name):
        return _from_folder(_from_hub(name), registry, above, name, fetched=True)
    known = ", ".join(registry.models.names()) or "none"
    raise ModelNotFound(
        f"no model {name!r}: it is none of the names known here ({known}), no folder, and no hub name (owner/name)"
    )


def _from_folder(
    folder: Path,
    registry: Registry,
    above: tuple[Path, ...],
    name: str | None = None,
    profile: Path | None = None,
    *,
    fetched: bool = False,
) -> ResolvedModel:
    """The model in a folder that is there; `name` and `profile` as a plugin gives them."""
    if holds_adapter(folder):
        return _from_adapter(folder, registry, above, name, profile, fetched=fetched)
    if name is None and not (folder / "config.json").is_file():
        raise ModelNotFound(
            f"{folder} holds no config.json, so it is no model folder; give one that save_pretrained has written"
        )
    return ResolvedModel(name or folder.name, folder, profile or folder)


def _from_adapter(
    folder: Path,
    registry: Registry,
    above: tuple[Path, ...],
    name: str | None,
    profile: Path | None,
    *,
    fetched: bool,
) -> ResolvedModel:
    """An adapter's base with the adapter; what is known of the base holds where the card brings no profile."""
    if folder in above:
        raise ModelRefused(
            str(folder), ["it is an adapter on a base that comes back to it; give its card another base_model"]
        )
    card = read_adapter_card(folder)
    beside = folder / card.base_model
    is_folder = card.base_model not in registry.models.names() and beside.is_dir()
    if fetched and card.base_model not in registry.models.names() and not _HUB_NAME.fullmatch(card.base_model):
        # What strangers wrote does not choose among the folders of this machine.
        raise ModelRefused(
            str(name),
            [
                f"its card names the base {card.base_model!r}, which is no model known here and no hub name; download "
                "it, name its base in its card, and give the folder"
            ],
        )
    try:
        base = resolve(str(beside) if is_folder else card.base_model, registry, above=(*above, folder))
    except ModelNotFound as error:
        raise ModelNotFound(f"{name or folder} is an adapter on {card.base_model}: {error}") from error
    own = folder if card.profiled else base.profile
    return ResolvedModel(name or card.name, base.path, profile or own, (*base.adapters, card.adapter))


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
