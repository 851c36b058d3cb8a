"""What a reading cannot be had of, each with its reason; found at start, so that no request is read otherwise.

Works on vLLM's configuration alone, or on its attention layers; imports nothing of vLLM's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def config_reasons(config: Any, *, v2: bool = False) -> Iterator[str]:
    """Why an engine of this `VllmConfig` cannot read with a bias; nothing if it can.

    Args:
        config: vLLM's.
        v2: whether rows are heard of from vLLM's V2 runner, as on a GPU, and not from its V1 runner.
    """
    model, parallel, cache = config.model_config, config.parallel_config, config.cache_config
    if model.use_mla:
        yield "latent attention (MLA) keeps no keys of single heads that a bias could act on"
    if getattr(model, "is_encoder_decoder", False):
        yield "an encoder reads its sources before they are attended to"
    if getattr(model, "is_mm_prefix_lm", False):
        yield "tokens of its pictures read each other both ways"
    if "fp8" in str(cache.cache_dtype) or "int8" in str(cache.cache_dtype) or "fp4" in str(cache.cache_dtype):
        yield f"its keys are kept as {cache.cache_dtype}, of which the readings have no exact copy"
    if parallel.pipeline_parallel_size > 1:
        yield "pipeline parallelism: only the last rank hears which row is whose"
    if getattr(parallel, "decode_context_parallel_size", 1) > 1:
        yield "decode context parallelism: no rank has all keys of a row"
    if getattr(parallel, "prefill_context_parallel_size", 1) > 1:
        yield "prefill context parallelism: no rank has all keys of a row"
    if config.speculative_config is not None:
        yield "speculative decoding: vLLM's V1 runner would not load what knows the rows, and drafts are not read"
    if config.use_v2_model_runner != v2:
        other, known = (1, 2) if v2 else (2, 1)
        yield f"vLLM's V{other} runner: which row is whose is heard from its V{known} runner on this device"
    if getattr(parallel, "enable_dbo", False):
        yield "dual batch overlap: a batch is run in halves, of whose rows nothing is heard"
    if getattr(config.kv_transfer_config, "kv_connector", None):
        yield "keys from another engine: it cannot be seen under which reading they were computed"


def layer_reasons(layers: Mapping[str, Any]) -> Iterator[str]:
    """Why attention layers of vLLM's cannot be read with a bias; nothing if they can."""
    for name, layer in layers.items():
        impl = layer.impl
        if getattr(impl, "alibi_slopes", None) is not None:
            yield f"{name} has ALiBi, which is not read"
        if layer.attn_type != "decoder":
            yield f"{name} is no attention of a decoder"
        if getattr(layer, "head_size_v", layer.head_size) != layer.head_size:
            yield f"{name} has keys and values of different widths"
        if not hasattr(impl, "reads_again"):
            yield f"{name} runs {type(impl).__name__}, after which nothing is read again"
