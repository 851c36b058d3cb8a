"""The pair probe: a low-rank adapter of a few last rows, and a classifier of the state they end in.

The adapter is a LoRA as PEFT saves it (`adapter_config.json`, `adapter_model.safetensors`). It acts only while the
probe's own rows are run, after a context that the untouched model has read; at all other times the model is as it was.
Knows nothing of what the classes mean.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from xmguard.backends.transformers.families.layout import decoder_layers
from xmguard.calibration import ProbeSource
from xmguard.errors import ModelRefused

CLASSES = 3
"""Conflict, agreement, no answer."""
_KEY = re.compile(r"base_model\.model\.(?P<module>model\..+)\.lora_(?P<side>[AB])\.weight")
_HEAD = re.compile(r"base_model\.model\.score(\.modules_to_save(\.default)?)?\.weight")
_PLAIN: Mapping[str, Any] = {
    "use_dora": False,
    "use_rslora": False,
    "use_qalora": False,
    "alora_invocation_tokens": None,
    "layer_replication": None,
    "init_lora_weights": True,
    "lora_bias": False,
    "fan_in_fan_out": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "bias": "none",
}
"""What an adapter must not do otherwise, because nothing here would do it. Some beginnings change the model itself."""


@dataclass(frozen=True)
class LowRank:
    """One linear layer's adapter: adds `up @ (down @ x)`, the scaling in `up`."""

    down: Tensor
    """[rank, in_features]"""
    up: Tensor
    """[out_features, rank]"""


@dataclass(frozen=True)
class Probe:
    """A probe on a loaded model, sharing its weights."""

    decoder: nn.Module
    """The model's first layers and its final norm, as a decoder of its own."""
    layers: int
    adapters: Mapping[str, LowRank]
    """Name of a module in `decoder` to what is added to it."""
    head: Tensor
    """[class, hidden]"""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The adapter acts on every row that is run within."""
        with ExitStack() as stack:
            for name, adapter in self.adapters.items():
                module = self.decoder.get_submodule(name)
                stack.callback(module.register_forward_hook(_adding(adapter)).remove)
            yield

    def logits(self, hidden: Tensor) -> Tensor:
        """[row, class] of states [row, hidden]."""
        return nn.functional.linear(hidden, self.head).float()


def load_probe(source: ProbeSource, model: Any) -> Probe:
    """Read a probe's files and fit it to a loaded model.

    Raises:
        ModelRefused: the files are not what the profile says, or do not fit the model; with the reason.
    """
    path = source.folder / "adapter_model.safetensors"
    name = f"{source.folder.parent.name}/{source.folder.name}"
    try:
        config = json.loads((source.folder / "adapter_config.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != source.sha256:
            raise ModelRefused(name, [f"the probe's weights hash to {digest}, the profile names {source.sha256}"])
        weights = load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelRefused(name, [f"the probe's adapter cannot be read: {error}"]) from error
    scaling = _scaling(config, name)
    reference = next(model.parameters())
    sides: dict[str, dict[str, Tensor]] = {}
    head = None
    for key, tensor in weights.items():
        tensor = tensor.to(reference.device, reference.dtype)
        if found := _KEY.fullmatch(key):
            sides.setdefault(found["module"].removeprefix("model."), {})[found["side"]] = tensor
        elif _HEAD.fullmatch(key):
            head = tensor
        else:
            raise ModelRefused(name, [f"the probe's adapter holds {key}, which nothing here reads"])
    decoder = _first_layers(model, source.layers, name)
    modules = dict(decoder.named_modules())
    hidden = model.config.get_text_config(decoder=True).hidden_size
    if head is None or head.shape != (CLASSES, hidden):
        raise ModelRefused(name, [f"the probe's classifier is not {CLASSES} by {hidden}"])
    adapters = {}
    for module, pair in sides.items():
        linear = modules.get(module)
        if not isinstance(linear, nn.Linear):
            raise ModelRefused(name, [f"the probe adapts {module}, which is no linear layer that it runs"])
        wanted = {"A": (config["r"], linear.in_features), "B": (linear.out_features, config["r"])}
        if {side: tuple(tensor.shape) for side, tensor in pair.items()} != wanted:
            raise ModelRefused(name, [f"the probe's adapter of {module} does not fit the model"])
        adapters[module] = LowRank(pair["A"], pair["B"] * scaling)
    return Probe(decoder, source.layers, adapters, head)


def _scaling(config: Any, name: str) -> float:
    """What a plain LoRA's update is multiplied by; refuses any other adapter."""
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ModelRefused(name, ["the probe is no LoRA adapter: its adapter_config.json says so"])
    other = [key for key, wanted in _PLAIN.items() if config.get(key, wanted) != wanted]
    if other:
        raise ModelRefused(name, [f"the probe is no plain LoRA adapter: {', '.join(other)}"])
    try:
        return float(config["lora_alpha"] / config["r"])
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise ModelRefused(name, ["the probe's adapter_config.json has no usable r and lora_alpha"]) from error


def _adding(adapter: LowRank) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        linear = nn.functional.linear
        return output + linear(linear(inputs[0], adapter.down), adapter.up)

    return hook


def _first_layers(model: Any, count: int, name: str) -> nn.Module:
    """A decoder of a model's first layers that shares every weight with it."""
    layers = decoder_layers(model)
    if not 0 < count <= len(layers):
        raise ModelRefused(name, [f"the probe runs {count} layers, the model has {len(layers)}"])
    whole = model.get_decoder()
    config = copy(whole.config)
    config.num_hidden_layers = count
    with torch.device("meta"):
        decoder: nn.Module = type(whole)(config)
    for child, module in whole.named_children():
        setattr(decoder, child, nn.ModuleList(layers[:count]) if isinstance(module, nn.ModuleList) else module)
    return decoder.eval()
