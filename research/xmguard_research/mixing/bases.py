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
from xmguard.models.checkpoint import read_adapter_card
from xmguard.models.resolve import ResolvedModel, resolve
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
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ModelRefused(str(folder), [f"its {CARD} cannot be read: {error}; get it again"]) from error
        if not isinstance(card, dict):
            raise ModelRefused(str(folder), [f"its {CARD} is no object; get it again"])
        return card


def find_base(name: str, registry: Registry) -> Base:
    """What a name leads to, found as for serving; of a folder with an adapter, its base with the adapter.

    Raises:
        ModelNotFound: it is not on this machine, or not its base.
        ModelRefused: a card or an adapter that cannot be read; an adapter whose card is no good or, fetched from the
            hub, names a folder of this machine; one on another adapter, or made for other weights than lie here.
        SetupIncomplete: a hub name was given and the hub's client is not installed.
    """
    found = resolve(name, registry)
    if not found.adapters:
        return _base(name, Path(), found, registry)
    *below, adapter = found.adapters
    if below:
        raise ModelRefused(
            name, ["it is an adapter on another adapter, and training takes one; merge that first: xmguard mix export"]
        )
    named = read_adapter_card(adapter.folder).base_model
    base = replace(_base(named, adapter.folder, found, registry), adapter=adapter.folder)
    if adapter.base_sha256 != base.sha256:
        raise ModelRefused(
            name,
            [f"its adapter was made for other weights than {base.name} has here; get those, or train on {base.name}"],
        )
    try:
        read(adapter.folder, adapter.sha256, "its card")
    except Unusable as error:
        raise ModelRefused(name, [f"its adapter {reason}" for reason in error.reasons]) from error
    return base


def _base(said: str, at: Path, found: ResolvedModel, registry: Registry) -> Base:
    """A whole model that was found by a name, or a path relative to `at` or to where the command runs."""
    is_folder = said not in registry.models.names() and any(
        (start / Path(said).expanduser()).is_dir() for start in (at, Path())
    )
    # A card that is written elsewhere names it too.
    name = str(found.path) if is_folder else said
    seen = examine(found.path, registry.architectures.items)
    base = Base(name, found.path, reads_pictures=IMAGE in seen.modalities)
    _ = base.card  # which a trained model's is written from: what is wrong with it is said before anything is trained
    return base
