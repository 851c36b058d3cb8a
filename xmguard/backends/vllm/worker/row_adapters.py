"""Low-rank adapters that act on some rows of vLLM's batch: the readers of the requests that ask for one.

Hooks on vLLM's linear layers add the updates; where vLLM runs several layers of the model as one, an update is added to
its part of the output. Rows of other requests are left as they are, bit for bit.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xmguard.attention.head_norms import norm_factors
from xmguard.backends.low_rank import LoraFiles, LowRank, Unusable, read
from xmguard.backends.vllm.worker.readings import Readings

PROBE = "probe"
"""Name of the adapter after whose rows the pair probe is read."""
_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True)
class Place:
    """Where vLLM runs one linear layer of the model."""

    linear: Any
    part: slice
    """Of the linear layer's output."""


@dataclass(frozen=True)
class Adapter:
    """One adapter, fitted to the model that vLLM has loaded."""

    updates: Mapping[nn.Module, tuple[tuple[slice, LowRank], ...]]
    others: Mapping[str, Tensor]
    """What the files hold besides updates."""

    def install(self, name: str, readings: Readings) -> None:
        """From now on it acts on the rows of requests that ask for it by this name."""
        for linear, parts in self.updates.items():
            linear.register_forward_hook(_adding(name, parts, readings))

    def factors(self, projections: Mapping[int, tuple[Any, Tensor, int]]) -> dict[int, Tensor]:
        """R_h of the output projections that it changes.

        Args:
            projections: number of a layer to its projection, the projection's weight and the number of heads.
        """
        return {
            layer: norm_factors(weight + self.updates[linear][0][1].product, heads)
            for layer, (linear, weight, heads) in projections.items()
            if linear in self.updates
        }


def load_adapter(asked: Mapping[str, Any], model: Any, dtype: torch.dtype) -> Adapter:
    """Read an adapter's files and fit it.

    Args:
        asked: `folder`, `sha256`, and for the probe `layers`: how many of the model's layers it runs.
        model: vLLM's.
        dtype: of its weights.

    Raises:
        Unusable: with every reason.
    """
    files = read(Path(asked["folder"]), asked["sha256"], "what it was asked for by")
    reasons, updates = [], defaultdict(list)
    for name, pair in files.sides.items():
        place = _place(name, model)
        if place is None or _beyond(name, asked.get("layers")):
            reasons.append(f"adapts {name}, which is no linear layer that it runs")
            continue
        update = _update(files, pair, place, dtype)
        if update is None:
            reasons.append(f"has an update of {name} that does not fit the model")
            continue
        updates[place.linear].append((place.part, update))
    if reasons:
        raise Unusable(*reasons, remedy="train it again on this model, or serve it with --engine transformers")
    return Adapter({linear: tuple(parts) for linear, parts in updates.items()}, files.others)


def _place(name: str, model: Any) -> Place | None:
    """Where vLLM runs a layer that the model's own code has under a name."""
    from vllm.model_executor.layers.linear import LinearBase

    modules = dict(model.named_modules())
    if isinstance(found := modules.get(name), LinearBase):
        return Place(found, slice(None))
    parent, _, last = name.rpartition(".")
    for packed, names in (getattr(model, "packed_modules_mapping", None) or {}).items():
        found = modules.get(f"{parent}.{packed}")
        sizes = getattr(found, "output_sizes", None)
        if last in names and isinstance(found, LinearBase) and sizes is not None and len(sizes) == len(names):
            index = names.index(last)
            start = sum(sizes[:index])
            return Place(found, slice(start, start + sizes[index]))
    return None


def _beyond(name: str, layers: int | None) -> bool:
    number = _LAYER.search(name)
    return layers is not None and (number is None or int(number[1]) >= layers)


def _update(files: LoraFiles, pair: Mapping[str, Tensor], place: Place, dtype: torch.dtype) -> LowRank | None:
    width = len(range(place.linear.output_size)[place.part])
    wanted = {"A": (files.rank, place.linear.input_size), "B": (width, files.rank)}
    if {side: tuple(tensor.shape) for side, tensor in pair.items()} != wanted:
        return None
    return LowRank(pair["A"].float().to(dtype), (pair["B"].float() * files.scaling).to(dtype))


def _adding(name: str, parts: tuple[tuple[slice, LowRank], ...], readings: Readings) -> Any:
    linear = nn.functional.linear

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        rows = readings.adapted_rows(name)
        if rows is None:
            return
        written = output[0] if isinstance(output, tuple) else output
        read = inputs[0][rows]
        for part, update in parts:
            written[rows, part] += linear(linear(read, update.down), update.up)

    return add
