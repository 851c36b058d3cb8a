"""Looks at a loaded model for what readings need: its attention layers, what they write through, and its adapters.

It reads weights by running the identity through a layer, so that packed and quantised ones are read as they act.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from xmguard.attention.head_norms import norm_factors
from xmguard.backends.low_rank import Unusable
from xmguard.backends.vllm.spec import KEY
from xmguard.backends.vllm.worker.probing import install_probe
from xmguard.backends.vllm.worker.readings import ModelFacts, Readings
from xmguard.backends.vllm.worker.refusals import config_reasons, layer_reasons
from xmguard.backends.vllm.worker.row_adapters import PROBE, load_adapter


def examine(runner: Any, readings: Readings) -> tuple[ModelFacts | None, list[str]]:
    """What is known of a runner's model, or None and the reasons why readings cannot be had from it.

    Its adapters are put onto it: done once for a runner.
    """
    from vllm.model_executor.models.utils import extract_layer_index

    config = runner.vllm_config
    layers = attention_layers(config)
    names = sorted(layers, key=extract_layer_index)
    reasons = [*config_reasons(config), *layer_reasons(layers)]
    if not names:
        reasons.append("the model has no attention layers")
    if len({extract_layer_index(name) for name in names}) != len(names):
        reasons.append("some of the model's layers have more than one attention")
    parents = {id(child): parent for parent in runner.model.modules() for child in parent.children()}
    projections: dict[int, tuple[Any, Tensor, int]] = {}
    for number, name in enumerate(names):
        layer = layers[name]
        projection = output_projection(parents[id(layer)], layer) if id(layer) in parents else None
        if projection is None:
            reasons.append(f"it cannot be seen what {name} writes through")
        else:
            projections[number] = (projection, weight_of(projection), layer.num_heads)
    own = {layers[name].num_heads for name in names}
    if len(own) > 1:
        reasons.append(f"the model's layers differ in their heads: {sorted(own)}")
    if reasons:
        return None, reasons
    asked = (config.additional_config or {})[KEY].get("adapters") or {}
    adapted, reasons = _adapters(asked, names, projections, runner, readings)
    if reasons:
        return None, reasons
    heads, ranks = own.pop(), config.parallel_config.tensor_parallel_size
    first = config.parallel_config.rank % ranks * heads
    return (
        ModelFacts(
            layers={name: number for number, name in enumerate(names)},
            heads=heads * ranks,
            own_heads=slice(first, first + heads),
            factors=[norm_factors(weight, count) for _, weight, count in projections.values()],
            adapted=adapted,
            adapters=frozenset(asked),
        ),
        [],
    )


def _adapters(
    asked: Mapping[str, Any],
    names: list[str],
    projections: Mapping[int, tuple[Any, Tensor, int]],
    runner: Any,
    readings: Readings,
) -> tuple[dict[str, dict[int, Tensor]], list[str]]:
    """Put adapters onto the model; the factors of what each changes, and why one cannot be had."""
    from vllm.config import CompilationMode

    config = runner.vllm_config
    if asked and config.compilation_config.mode != CompilationMode.NONE:
        return {}, ["adapters act on single rows, which a compiled model has not; enforce_eager leaves it uncompiled"]
    adapted, reasons = {}, []
    for name, files in asked.items():
        try:
            adapter = load_adapter(files, runner.model, config.model_config.dtype)
            if name == PROBE:
                dtype = config.model_config.dtype
                install_probe(adapter.others, files["layers"], names, runner.model, dtype, readings)
            elif adapter.others:
                raise Unusable(
                    *(f"holds {key}, which nothing here reads" for key in adapter.others),
                    remedy="save it without modules_to_save",
                )
        except Unusable as error:
            reasons += [f"its {name} adapter {reason}" for reason in error.reasons]
        else:
            adapter.install(name, readings)
            adapted[name] = adapter.factors(projections)
    return adapted, reasons


def attention_layers(vllm_config: Any) -> dict[str, Any]:
    """Attention layers of a loaded model by vLLM's names of them."""
    from vllm.model_executor.layers.attention import Attention

    context = vllm_config.compilation_config.static_forward_context
    return {name: layer for name, layer in context.items() if isinstance(layer, Attention)}


def output_projection(attention: nn.Module, layer: Any) -> Any:
    """The one linear layer next to an attention layer that takes what it writes; None if there is no such one."""
    from vllm.model_executor.layers.linear import RowParallelLinear

    width = layer.num_heads * layer.head_size
    found = [child for child in attention.children() if isinstance(child, RowParallelLinear)]
    return found[0] if len(found) == 1 and found[0].input_size_per_partition == width else None


@torch.inference_mode()
def weight_of(linear: Any) -> Tensor:
    """Weight of this rank's part of a linear layer as it acts, [out_features, in_features], float32."""
    identity = torch.eye(linear.input_size_per_partition, dtype=linear.params_dtype)
    weight: Tensor = linear.quant_method.apply(linear, identity, None)
    return weight.T.float()
