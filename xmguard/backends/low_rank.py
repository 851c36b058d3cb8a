"""Low-rank adapters of linear layers: a plain LoRA as PEFT saves it, read, fitted to a loaded model, and applied.

Knows nothing of what an adapter is for; whoever has one applied says on which entries of a batch, and how long.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KEY = re.compile(r"base_model\.model\.(?P<module>model\..+)\.lora_(?P<side>[AB])\.weight")
_PLAIN: Mapping[str, Any] = {
    "use_dora": False,
    "use_rslora": False,
    "use_qalora": False,
    "use_bdlora": None,
    "alora_invocation_tokens": None,
    "arrow_config": None,
    "kasa_config": None,
    "monteclora_config": None,
    "velora_config": None,
    "target_parameters": None,
    "layer_replication": None,
    "init_lora_weights": True,
    "lora_bias": False,
    "fan_in_fan_out": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "bias": "none",
}
"""What an adapter must not do otherwise, because nothing here would do it. Some beginnings change the model itself."""
_AGAIN = "get its folder again, as a whole"


class Unusable(Exception):
    """An adapter's files are not what they have to be, or do not fit the model; every reason found."""

    def __init__(self, *reasons: str, remedy: str) -> None:
        self.reasons = (*reasons[:-1], f"{reasons[-1]}; {remedy}")
        """What is wrong, and with the last of it what to do about all."""
        super().__init__("; ".join(self.reasons))


@dataclass(frozen=True)
class LowRank:
    """One linear layer's update: adds `up @ (down @ x)`, the scaling in `up`."""

    down: Tensor
    """[rank, in_features]"""
    up: Tensor
    """[out_features, rank]"""

    @property
    def product(self) -> Tensor:
        """What it adds to the layer's weight, float32, [out_features, in_features]."""
        return self.up.float() @ self.down.float()


Updates = Mapping[nn.Module, LowRank]
"""What is added to which linear layer of a model."""


@dataclass(frozen=True)
class LoraFiles:
    """What a folder holds, in the precision it was saved in."""

    rank: int
    scaling: float
    sides: Mapping[str, Mapping[str, Tensor]]
    """Name of a module of the adapted model to its `A` [rank, in_features] and `B` [out_features, rank]."""
    others: Mapping[str, Tensor]
    """Tensors that are no part of an update, by key."""

    def fit(self, modules: Mapping[str, nn.Module], like: Tensor) -> Updates:
        """The updates of the layers of a model, on the device and in the precision of `like`.

        Raises:
            Unusable: some are of modules that are no linear layers among `modules`, or of another shape.
        """
        reasons: list[str] = []
        updates: dict[nn.Module, LowRank] = {}
        for name, pair in sorted(self.sides.items()):  # files hold them in any order
            linear = modules.get(name)
            if not isinstance(linear, nn.Linear):
                reasons.append(f"adapts {name}, which is no linear layer that it runs")
                continue
            wanted = {"A": (self.rank, linear.in_features), "B": (linear.out_features, self.rank)}
            if {side: tuple(tensor.shape) for side, tensor in pair.items()} != wanted:
                reasons.append(f"has an update of {name} that does not fit the model")
                continue
            down, up = (pair[side].to(like.device, torch.float32) for side in "AB")
            updates[linear] = LowRank(down.to(like.dtype), (up * self.scaling).to(like.dtype))
        if reasons:
            raise Unusable(*reasons, remedy="train it again on this model")
        return updates


def read(folder: Path, sha256: str, named_by: str) -> LoraFiles:
    """Read an adapter whose weights have a known SHA-256; `named_by` says who knows it.

    Raises:
        Unusable: with every reason found; the weights are not parsed if they are others.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        content = (folder / WEIGHTS).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256:
            raise Unusable(f"has weights that hash to {digest}; {named_by} names {sha256}", remedy=_AGAIN)
        weights = load(content)
    except (OSError, ValueError, SafetensorError) as error:
        raise Unusable(f"cannot be read: {error}", remedy=_AGAIN) from error
    rank, scaling = _scaling(config)
    sides: dict[str, dict[str, Tensor]] = {}
    others = {}
    for key, tensor in weights.items():
        if found := _KEY.fullmatch(key):
            sides.setdefault(found["module"], {})[found["side"]] = tensor
        else:
            others[key] = tensor
    if not sides:
        raise Unusable("holds no low-rank update, so it would change nothing", remedy="save it again with PEFT")
    if broken := sorted(key for key, tensor in weights.items() if not tensor.float().isfinite().all()):
        said = f"holds what is no finite number in {len(broken)} tensors, such as {broken[0]}"
        raise Unusable(said, remedy="train it again with a lower learning rate")
    return LoraFiles(rank, scaling, sides, others)


def _scaling(config: Any) -> tuple[int, float]:
    """The rank, and what a plain LoRA's update is multiplied by."""
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise Unusable(f"is no LoRA adapter: its {CONFIG} says so", remedy="train a LoRA in its place")
    other = [key for key, wanted in _PLAIN.items() if config.get(key, wanted) != wanted]
    if other:
        defaults = "train it again with PEFT's defaults of these"
        raise Unusable(f"is no plain LoRA adapter: {', '.join(other)}", remedy=defaults)
    try:
        return config["r"], float(config["lora_alpha"] / config["r"])
    except (KeyError, TypeError, ZeroDivisionError) as error:
        given = "give it those that it was trained with"
        raise Unusable(f"has an {CONFIG} without usable r and lora_alpha", remedy=given) from error


@contextmanager
def applied(updates: Updates, entries: Tensor | None = None) -> Iterator[None]:
    """The updates act on every row that is run within, or on those of some entries of the batch.

    Args:
        updates: layers and what is added to them.
        entries: [entry], of inputs [batch, query, in_features]; None is all of them. The rows of the others are bit
            for bit what they are without the updates.
    """
    with ExitStack() as stack:
        for module, update in updates.items():
            stack.callback(module.register_forward_hook(_adding(update, entries)).remove)
        yield


def _adding(update: LowRank, entries: Tensor | None) -> Any:
    linear, down, up = nn.functional.linear, update.down, update.up

    def to_all(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + linear(linear(inputs[0], down), up)

    def to_some(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert entries is not None
        return output.index_add(0, entries, linear(linear(inputs[0][entries], down), up))

    return to_all if entries is None else to_some
