"""What a training starts from: a base as it is found on this machine, and whose adapter is on it. Loads no weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from xmguard.backends.low_rank import Unusable, read
from xmguard.backends.transformers.families import examine
from xmguard.errors import ModelRefused
from xmguard.models.checkpoint import holds_adapter, read_adapter_card
from xmguard.models.resolve import resolve
from xmguard.parts import IMAGE
from xmguard.plugins import Registry
from xmguard.profile import CARD
from xmguard_research.mixing.digest import sha256

OPTIONS: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class Base:
    """What a training starts from."""

    name: str
    """Of the model whose weights an adapter belongs to; it becomes the card's `base_model`."""
    path: Path
    """Its folder."""
    adapter: Path | None = None
    """Checkpoint folder whose adapter is trained further."""
    reads_pictures: bool = False
    """Whether it has a vision tower; that stays as it is."""

    @property
    def auto(self) -> Any:
        """The class that loads it."""
        return AutoModelForImageTextToText if self.reads_pictures else AutoModelForCausalLM

    @cached_property
    def sha256(self) -> str:
        """Of its weight files, in name order, as the engine names a model."""
        return sha256(*sorted(self.path.glob("*.safetensors")))

    @property
    def card(self) -> dict[str, Any]:
        """Of the folder that training starts from; empty if it has none.

        Raises:
            ModelRefused: it cannot be read.
        """
        folder = self.adapter or self.path
        try:
            card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ModelRefused(str(folder), [f"its {CARD} cannot be read: {error}; get it again"]) from error
        return card


def find_base(name: str, registry: Registry) -> Base:
    """Where a model lies; of a checkpoint folder with an adapter, where the adapter's base lies.

    Raises:
        ModelNotFound: it is not on this machine.
        ModelRefused: a checkpoint folder whose card names no base, or another one than lies here.
    """
    source = registry.models.get(name)
    folder = (source.path() if source else None) or Path(name).expanduser()
    if not holds_adapter(folder):
        return _resolved(name, registry)
    card = Base(name, folder, folder).card
    if "base_model" not in card:
        raise ModelRefused(
            name, [f"it holds an adapter, and no {CARD} names the base of it; train on a checkpoint of mix train"]
        )
    named = card["base_model"]
    beside = folder / named  # as it is served: a relative folder is meant from the adapter's
    is_folder = named not in registry.models.names() and beside.is_dir()
    base = replace(_resolved(str(beside.resolve()) if is_folder else named, registry), adapter=folder)
    if card.get("base_sha256") not in (None, base.sha256):
        raise ModelRefused(
            name,
            [f"its adapter was made for other weights than {base.name} has here; get those, or train on {base.name}"],
        )
    return base


def require_whole(base: Base) -> None:
    """Refuse an adapter that is not the one its card is about, before its weights are put onto the base.

    Raises:
        ModelRefused: card or adapter is not as serving takes them, with every reason found.
    """
    if base.adapter is None:
        return
    card = read_adapter_card(base.adapter)
    try:
        read(base.adapter, card.adapter.sha256, "its card")
    except Unusable as error:
        raise ModelRefused(str(base.adapter), [f"its adapter {reason}" for reason in error.reasons]) from error


def _resolved(name: str, registry: Registry) -> Base:
    path = resolve(name, registry).whole
    return Base(name, path, reads_pictures=IMAGE in examine(path, registry.architectures.items).modalities)
