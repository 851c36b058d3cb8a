"""Low-rank adapters that act on some rows of vLLM's batch: the readers of the requests that ask for one.

An update is added to what a linear layer of vLLM's multiplies, before ranks sum up what each of them has; where vLLM
runs several layers of the model as one, to its part of the output. Of a layer that ranks share, each has its part of
the update too. Rows of other requests are left as they are, bit for bit.
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
    """Where vLLM runs one linear layer of the model, on this rank."""

    linear: Any
    part: slice
    """Of what the linear layer writes here."""
    outputs: int
    """Of the layer, over all ranks."""
    reads: slice
    """Those of its inputs that are here."""
    writes: slice
    """Those of its outputs that are here."""


@dataclass(frozen=True)
class Adapter:
    """One adapter, fitted to the model that vLLM has loaded."""

    updates: Mapping[Any, tuple[tuple[slice, LowRank], ...]]
    """By linear layer of vLLM's."""
    others: Mapping[str, Tensor]
    """What the files hold besides updates."""

    def install(self, name: str, readings: Readings) -> None:
        """From now on it acts on the rows of requests that ask for it by this name."""
        for linear, parts in self.updates.items():
            linear.quant_method = _Adding(linear.quant_method, name, parts, readings)

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
        return _of_ranks(found, 0) if len(_sizes(found)) == 1 else None
    parent, _, last = name.rpartition(".")
    for packed, names in (getattr(model, "packed_modules_mapping", None) or {}).items():
        found = modules.get(f"{parent}.{packed}")
        if last in names and isinstance(found, LinearBase) and len(_sizes(found)) == len(names):
            return _of_ranks(found, names.index(last))
    return None


def _sizes(linear: Any) -> list[int]:
    """What each layer of the model's writes, of those that vLLM runs here as one."""
    return list(linear.output_partition_sizes)


def _of_ranks(linear: Any, index: int) -> Place:
    """One of the layers that vLLM runs as one, and what of it is on this rank."""
    from vllm.model_executor.layers.linear import ColumnParallelLinear, RowParallelLinear

    sizes = _sizes(linear)
    start, own = sum(sizes[:index]), sizes[index]
    part, whole = slice(start, start + own), slice(None)
    if isinstance(linear, RowParallelLinear):
        first = linear.tp_rank * linear.input_size_per_partition
        return Place(linear, part, own, slice(first, first + linear.input_size_per_partition), whole)
    if isinstance(linear, ColumnParallelLinear):
        # Where there are more ranks than key heads, several have the same ones.
        copies = getattr(linear, "num_kv_head_replicas", 1) if index else 1
        first = linear.tp_rank // copies * own
        return Place(linear, part, own * linear.tp_size // copies, whole, slice(first, first + own))
    return Place(linear, part, own, whole, whole)


def _beyond(name: str, layers: int | None) -> bool:
    number = _LAYER.search(name)
    return layers is not None and (number is None or int(number[1]) >= layers)


def _update(files: LoraFiles, pair: Mapping[str, Tensor], place: Place, dtype: torch.dtype) -> LowRank | None:
    wanted = {"A": (files.rank, place.linear.input_size), "B": (place.outputs, files.rank)}
    if {side: tuple(tensor.shape) for side, tensor in pair.items()} != wanted:
        return None
    down, up = pair["A"][:, place.reads], pair["B"][place.writes]
    return LowRank(down.float().to(dtype), (up.float() * files.scaling).to(dtype))


class _Adding:
    """In the place of how a linear layer of vLLM's multiplies: does that, and adds updates to some rows."""

    def __init__(self, stock: Any, name: str, parts: tuple[tuple[slice, LowRank], ...], readings: Readings) -> None:
        self._stock, self._name, self._parts, self._readings = stock, name, parts, readings

    def apply(self, layer: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[row, output] of this rank."""
        written: Tensor = self._stock.apply(layer, x, bias)
        rows = self._readings.adapted_rows(self._name)
        if rows is not None:
            read, linear = x[rows], nn.functional.linear
            for part, update in self._parts:
                written[rows, part] += linear(linear(read, update.down), update.up)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)
