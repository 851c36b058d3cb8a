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
    "vllm.v1.engine.async_llm.AsyncLLM.generate": ("prompt", "sampling_params", "request_id"),
    "vllm.v1.engine.async_llm.AsyncLLM.collective_rpc": ("method", "timeout", "args"),
    "vllm.v1.engine.async_llm.AsyncLLM.shutdown": ("timeout",),
    "vllm.SamplingParams": (
        "extra_args",
        "flat_logprobs",
        "logit_bias",
        "logprobs",
        "output_kind",
        "prompt_logprobs",
        "skip_reading_prefix_cache",
    ),
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
    "vllm.v1.engine.async_llm.AsyncLLM.errored",
)
"""What else is used."""

_BUILT = ("kv_cache_spec", "layer_names", "vllm_config", "device")
_BUILD = ("common_prefix_len", "common_attn_metadata", "fast_build")
_FORWARD = PARAMETERS["vllm.v1.attention.backends.cpu_attn.CPUAttentionBackendImpl.forward"]
_V2 = "vllm.v1.worker.gpu.sample.logits_processor.interface"
CUDA_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "vllm.v1.attention.backends.flash_attn.FlashAttentionMetadataBuilder.__init__": _BUILT,
    "vllm.v1.attention.backends.flash_attn.FlashAttentionMetadataBuilder.build": _BUILD,
    "vllm.v1.attention.backends.flash_attn.FlashAttentionImpl.forward": _FORWARD,
    "vllm.v1.attention.backends.triton_attn.TritonAttentionMetadataBuilder.__init__": _BUILT,
    "vllm.v1.attention.backends.triton_attn.TritonAttentionMetadataBuilder.build": _BUILD,
    "vllm.v1.attention.backends.triton_attn.TritonAttentionImpl.forward": _FORWARD,
    f"{_V2}.LogitsProcessor.__init__": ("vllm_config", "req_states"),
    f"{_V2}.LogitsProcessor.add_request": ("req_idx", "sampling_params"),
    f"{_V2}.LogitsProcessor.apply": ("logits", "ctx"),
}
CUDA_FIELDS: Mapping[str, tuple[str, ...]] = {
    "vllm.v1.attention.backend.CommonAttentionMetadata": (
        "max_query_len",
        "num_actual_tokens",
        "num_reqs",
        "req_idx",
        "seq_lens_cpu_upper_bound",
    ),
    f"{_V2}.LogitsContext": ("idx_mapping_np", "seq_lens_upper_bound_np"),
    f"{_V2}.LogitsProcRequestState": ("device",),
}
CUDA_NAMES = (
    "vllm.v1.attention.backends.registry.AttentionBackendEnum.FLASH_ATTN",
    "vllm.v1.attention.backends.registry.AttentionBackendEnum.TRITON_ATTN",
    "vllm.v1.attention.backend.AttentionCGSupport.UNIFORM_SINGLE_TOKEN_DECODE",
    f"{_V2}.LogitsProcessor.apply_staged_writes",
)
"""The same of what is known on CUDA beside it."""


def moved(device: str = "cpu") -> list[str]:
    """What is not as the workers on `cpu` or `cuda` know it; empty if everything is."""
    found = [*_moved(PARAMETERS, _parameters), *_moved(FIELDS, _fields), *_moved(dict.fromkeys(NAMES, ()), _nothing)]
    if device == "cuda":
        found += _moved(CUDA_PARAMETERS, _parameters)
        found += _moved(CUDA_FIELDS, _fields)
        found += _moved(dict.fromkeys(CUDA_NAMES, ()), _nothing)
    return found


def line(device: str = "cpu") -> str:
    """The same in one line for a person; empty if nothing has moved."""
    found = moved(device)
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
