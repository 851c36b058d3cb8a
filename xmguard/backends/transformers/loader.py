"""Loads a model folder into the transformers engine, or refuses it with every reason at once.

Never runs a model's own code and never unpickles: the folder is judged by `families` before transformers sees it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from xmguard.attention.head_norms import norm_factors
from xmguard.backends.transformers import attention, few_rows
from xmguard.backends.transformers.backend import TransformersBackend
from xmguard.backends.transformers.families import refusals
from xmguard.backends.transformers.families.layout import context_length, output_projections
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.backends.transformers.probe import load_probe
from xmguard.backends.transformers.prompting import PromptEncoder
from xmguard.calibration import ProbeSource
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.plugins import Registry

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load(
    path: Path,
    *,
    registry: Registry,
    device: str = "cpu",
    dtype: str = "float32",
    probe: ProbeSource | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> TransformersBackend:
    """Load a model folder.

    Args:
        path: folder with config.json, *.safetensors and tokenizer.json.
        registry: for the modalities that encode spans.
        device: a torch device, for example `cpu` or `cuda:0`.
        dtype: `float32` or `bfloat16`.
        probe: the profile's, if it brings one.
        progress: told each step in words.

    Raises:
        InvalidRequest: an unknown dtype or a device that is not there.
        ModelRefused: with every reason found.
    """
    if dtype not in DTYPES:
        raise InvalidRequest.field("dtype", f"is {dtype!r}; one of {', '.join(DTYPES)}")
    _check_device(device)
    reasons = refusals(path)
    if reasons:
        raise ModelRefused(str(path), reasons)
    attention.install()
    progress("reading the weights")
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, use_fast=True, **options)
    except Exception as error:  # whatever its files hold; the tokenizers library raises Exception itself
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ModelRefused(str(path), [f"its tokenizer cannot be read: {said}"]) from error
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=DTYPES[dtype],
            attn_implementation=attention.IMPLEMENTATION,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:  # what transformers raises for broken files
        raise ModelRefused(str(path), [f"its weights cannot be read: {' '.join(str(error).split())[:300]}"]) from error
    # transformers fills what is missing with random numbers and goes on.
    incomplete = [
        f"its weights do not fit the architecture: {kind.replace('_', ' ')} {', '.join(sorted(map(str, keys))[:5])}"
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        if (keys := info[kind])
    ]
    if incomplete:
        raise ModelRefused(str(path), incomplete)
    model.to(device).eval().requires_grad_(False)
    progress("trying how a few rows are multiplied fastest")
    one_by_one = few_rows.install(model)
    progress("factoring the output projections")
    heads = model.config.num_attention_heads
    factors = tuple(norm_factors(projection.weight, heads) for projection in output_projections(model))
    progress("hashing the weights")
    fitted = None if probe is None else load_probe(probe, model)
    loaded = LoadedModel(
        model=model,
        tokenizer=tokenizer,
        factors=factors,
        end_ids=_end_ids(model, tokenizer),
        context_length=context_length(model.config),
        probe=fitted,
        few_rows=one_by_one,
    )
    return TransformersBackend(
        loaded=loaded,
        encoder=PromptEncoder(tokenizer, registry, str(path), probe_task=None if probe is None else probe.task),
        architecture=type(model).__name__,
        dtype=dtype,
        model_hash=_hash(path),
    )


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch raises either, by kind of device
        reason = str(error).split("\n", maxsplit=1)[0]
        raise InvalidRequest.field("device", f"{device!r} cannot be used: {reason}") from error


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    declared = model.generation_config.eos_token_id
    ids = set(declared if isinstance(declared, list) else [declared]) | {tokenizer.eos_token_id}
    return frozenset(int(token) for token in ids if token is not None)


def _hash(path: Path) -> str:
    """SHA-256 over the weight files, in name order."""
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()
