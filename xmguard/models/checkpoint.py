"""A folder with an adapter in place of a whole model: what its card, `xmguard.json`, says of the base and the adapter.

Looks at JSON only; whether the adapter fits the model is the backend's decision.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from xmguard.errors import ModelRefused
from xmguard.profile import CARD

ADAPTER_CONFIG = "adapter_config.json"
"""File that makes a folder one of an adapter, as PEFT writes it."""


class ActsOn(StrEnum):
    """Which rows an adapter changes."""

    ALL = "all"
    """All: it is merged into the weights when the model is loaded."""
    ANSWER = "answer"
    """Those of the joint answer, after a context that the base has read; the verdict stays the base's."""


@dataclass(frozen=True)
class AdapterSource:
    """A low-rank adapter on this machine."""

    folder: Path
    """Holds `adapter_config.json` and `adapter_model.safetensors`."""
    sha256: str
    """Of the adapter's weights."""
    base_sha256: str
    """Of the model it was trained on, as `Backend.model_hash`."""
    acts_on: ActsOn

    def onto(self, base_hash: str) -> str:
        """`Backend.model_hash` of a base with this adapter on it."""
        return sha256(f"{base_hash} {self.sha256} {self.acts_on}".encode()).hexdigest()


@dataclass(frozen=True)
class AdapterCard:
    """What a folder with an adapter says of itself."""

    name: str
    base_model: str
    """A model's name, or a folder; a relative one is meant from the adapter's."""
    adapter: AdapterSource
    profiled: bool
    """Whether the card holds a profile, in place of the base's."""


def holds_adapter(folder: Path) -> bool:
    """Whether a folder is one of an adapter; a whole model's may hold a card, too."""
    return (folder / ADAPTER_CONFIG).is_file()


def read_adapter_card(folder: Path) -> AdapterCard:
    """Read a folder's card.

    Raises:
        ModelRefused: it is not there, or not as it has to be, with every reason found.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = (
            f"it holds an adapter, and its {CARD}, which names the base model, cannot be read: {error}; give a "
            "checkpoint of xmguard mix train, or merge the adapter with PEFT and give the merged folder"
        )
        raise ModelRefused(str(folder), [said]) from error
    reasons: list[str] = []

    def text(content: Any, key: str, path: str = "") -> str:
        value = content.get(key) if isinstance(content, dict) else None
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value
        reasons.append(f"{CARD}: {path}{key} is not a text; a card of an adapter has to say it")
        return ""

    adapter = card.get("adapter") if isinstance(card, dict) else None
    name, base, base_sha256 = (text(card, key) for key in ("name", "base_model", "base_sha256"))
    sha256, acts_on = (text(adapter, key, "adapter.") for key in ("sha256", "acts_on"))
    if acts_on and acts_on not in [*ActsOn]:
        reasons.append(f"{CARD}: adapter.acts_on is {acts_on!r}; one of {', '.join(ActsOn)}")
    if reasons:
        raise ModelRefused(str(folder), reasons)
    source = AdapterSource(folder, sha256, base_sha256, ActsOn(acts_on))
    return AdapterCard(name, base, source, "profile" in card)
