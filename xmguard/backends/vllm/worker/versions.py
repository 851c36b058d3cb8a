"""Whether the installed vLLM is one whose inside is as the worker knows it: names, fields and parameters, looked up.

Its inside moves with every minor release. What cannot be found is said in one line, before anything is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

TESTED = ("0.32",)
"""Minor releases that the tests were run with."""

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "vllm.v1.attention.backends.registry.register_backend": ("backend", "class_path"),
    "vllm.v1.attention.backends.cpu_attn.CPUAttentionMetadataBuilder.__init__": (
        "kv_cache_spec",
        "layer_names",
        "vllm_config",
        "device",
    ),
    "vllm.v1.attention.backends.cpu_attn.CPUAttentionMetadataBuilder.build": (
        "common_prefix_len",
        "common_attn_metadata",
        "fast_build",
    ),
    "vllm.v1.attention.backends.cpu_attn.CPUAttentionBackendImpl.forward": (
        "layer",
        "query",
        "key",
        "value",
        "kv_cache",
        "attn_metadata",
        "output",
        "output_scale",
        "output_block_scale",
    ),
    "vllm._custom_ops.cpu_attn_reshape_and_cache": (
        "key",
        "value",
        "key_cache",
        "value_cache",
        "slot_mapping",
        "isa",
    ),
    "vllm.v1.sample.logits_processor.LogitsProcessor.__init__": ("vllm_config", "device", "is_pin_memory"),
    "vllm.v1.sample.logits_processor.LogitsProcessor.update_state": ("batch_update",),
    "vllm.v1.sample.logits_processor.LogitsProcessor.apply": ("logits",),
    "vllm.model_executor.models.utils.extract_layer_index": ("layer_name",),
    "vllm.renderers.base.BaseRenderer.render_cmpl_async": ("prompts",),
}
"""Functions that are called or replaced, and the parameters that have to be among theirs."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "vllm.v1.attention.backend.CommonAttentionMetadata": ("query_start_loc_cpu", "seq_lens", "block_table_tensor"),
    "vllm.v1.attention.backends.cpu_attn.CPUAttentionMetadata": ("block_table",),
    "vllm.v1.sample.logits_processor.BatchUpdate": ("removed", "added", "moved"),
    "vllm.v1.worker.gpu_input_batch.CachedRequestState": ("sampling_params", "mm_features"),
    "vllm.multimodal.inputs.MultiModalFeatureSpec": ("identifier", "mm_position"),
    "vllm.multimodal.inputs.MultiModalFieldElem": ("data",),
}
"""Dataclasses that are read, and the fields that have to be among theirs."""

NAMES = (
    "vllm.v1.attention.backends.registry.AttentionBackendEnum.CPU_ATTN",
    "vllm.v1.sample.logits_processor.MoveDirectionality.SWAP",
    "vllm.multimodal.inputs.PlaceholderRange.extract_embeds_range",
    "vllm.model_executor.layers.attention.Attention",
    "vllm.model_executor.layers.linear.RowParallelLinear",
    "vllm.model_executor.layers.linear.LinearBase",
)
"""What else is imported."""


def moved() -> list[str]:
    """What is not as the worker knows it; empty if everything is."""
    return [*_moved(PARAMETERS, _parameters), *_moved(FIELDS, _fields), *_moved(dict.fromkeys(NAMES, ()), _nothing)]


def line() -> str:
    """The same in one line for a person; empty if nothing has moved."""
    found = moved()
    if not found:
        return ""
    from vllm import __version__

    return f"vLLM {__version__} is not built as this engine knows it (tested: {', '.join(TESTED)}): {'; '.join(found)}"


def _moved(wanted: Mapping[str, tuple[str, ...]], parts: Any) -> Iterator[str]:
    for path, names in wanted.items():
        found = _find(path)
        if found is None:
            yield f"{path} is gone"
        elif missing := [name for name in names if name not in parts(found)]:
            yield f"{path} has no {', '.join(missing)}"


def _find(path: str) -> Any:
    """What a dotted path names; None if there is nothing."""
    names = path.split(".")
    for count in range(len(names) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(names[:count]))
        except ImportError:
            continue
        for name in names[count:]:
            found = getattr(found, name, None)
        return found
    return None


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def _fields(dataclass: Any) -> set[str]:
    return set(dataclass.__dataclass_fields__)


def _nothing(found: Any) -> set[str]:
    return set()
