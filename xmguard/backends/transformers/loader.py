"""Loads a model folder into the transformers engine, or refuses it with every reason at once.

Never runs a model's own code and never unpickles: the folder is judged by `families` before transformers sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
)

from xmguard.attention.head_norms import norm_factors
from xmguard.backends.context_length import context_length
from xmguard.backends.folder import weights_hash
from xmguard.backends.pictures import PictureReader, chat_template
from xmguard.backends.processors import load_processor
from xmguard.backends.prompting import PromptEncoder
from xmguard.backends.tokenizer import OPTIONS, read_tokenizer
from xmguard.backends.transformers import attention, few_rows
from xmguard.backends.transformers.adapters import read_adapters
from xmguard.backends.transformers.backend import TransformersBackend
from xmguard.backends.transformers.families import examine
from xmguard.backends.transformers.families.layout import output_projections, text_section
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.backends.transformers.probe import load_probe
from xmguard.calibration import ProbeSource
from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.models.checkpoint import AdapterSource
from xmguard.parts import IMAGE
from xmguard.plugins import Registry

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load(
    path: Path,
    *,
    registry: Registry,
    device: str = "cpu",
    dtype: str = "float32",
    probe: ProbeSource | None = None,
    adapters: Sequence[AdapterSource] = (),
    options: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> TransformersBackend:
    """Load a model folder.

    Args:
        path: folder with config.json, *.safetensors and tokenizer.json.
        registry: for the modalities that encode spans.
        device: a torch device, for example `cpu` or `cuda:0`.
        dtype: `float32` or `bfloat16`.
        probe: the profile's, if it brings one.
        adapters: put onto the weights, in this order.
        options: this engine has none.
        progress: told each step in words.

    Raises:
        InvalidRequest: an unknown dtype, a device that is not there, or an option.
        ModelRefused: with every reason found.
    """
    if dtype not in DTYPES:
        raise InvalidRequest.field("dtype", f"is {dtype!r}; one of {', '.join(DTYPES)}")
    for name in options or ():
        raise InvalidRequest.field(name, "is no option of the transformers engine")
    _check_device(device)
    found = examine(path, registry.architectures.items)
    if found.reasons:
        raise ModelRefused(str(path), found.reasons)
    progress("hashing the weights")
    onto = read_adapters(adapters, weights_hash(path))
    attention.install()
    reads_pictures = IMAGE in found.modalities
    processor = load_processor(path, OPTIONS) if reads_pictures else None
    tokenizer = read_tokenizer(path) if processor is None else processor.tokenizer
    progress("reading the weights")
    model = _model(path, dtype, AutoModelForImageTextToText if reads_pictures else AutoModelForCausalLM)
    model.to(device).eval().requires_grad_(False)
    onto.merge(model)
    progress("trying how a few rows are multiplied fastest")
    one_by_one = few_rows.install(model)
    progress("factoring the output projections")
    config = model.config.get_text_config(decoder=True)
    factors = tuple(
        norm_factors(projection.weight, config.num_attention_heads) for projection in output_projections(model)
    )
    fitted = None if probe is None else load_probe(probe, model)
    loaded = LoadedModel(
        model=model,
        tokenizer=tokenizer,
        factors=factors,
        end_ids=_end_ids(model, tokenizer),
        context_length=context_length(config),
        probe=fitted,
        adapter=onto.answering(model),
        suppressed=_suppressed(model),
        few_rows=one_by_one,
    )
    encoder = PromptEncoder(
        tokenizer,
        registry,
        str(path),
        probe_task=None if probe is None else probe.task,
        template=None if processor is None else chat_template(processor),
        pictures=None if processor is None else PictureReader(processor, model.config.image_token_id, str(path)),
    )
    backend = TransformersBackend(
        loaded=loaded,
        encoder=encoder,
        architecture=type(model).__name__,
        dtype=dtype,
        model_hash=onto.model_hash,
        evidence_hash=onto.evidence_hash,
        modalities=found.modalities,
    )
    if model.config.model_type in registry.architectures.items:
        progress("testing that its attention is steered exactly")
        _prove(backend, path)
    return backend


def _prove(backend: TransformersBackend, path: Path) -> None:
    """What a plugin brings no test of this project has seen, so the model itself has to show it."""
    failed = [f"{check.name}: {check.detail}" for check in backend.self_test() if not check.passed]
    if failed:
        raise ModelRefused(str(path), [f"its self-test fails: {each}" for each in failed])


def _model(path: Path, dtype: str, auto: Any) -> Any:
    """The model; its language model alone reads through xmguard."""
    section = text_section(AutoConfig.from_pretrained(path, **OPTIONS))
    try:
        model, info = auto.from_pretrained(
            path,
            dtype=DTYPES[dtype],
            attn_implementation=attention.IMPLEMENTATION if section is None else {section: attention.IMPLEMENTATION},
            use_safetensors=True,
            output_loading_info=True,
            **OPTIONS,
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
    return model


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


def _suppressed(model: Any) -> tuple[int, ...]:
    """Ids outside the vocabulary are passed over, as transformers does."""
    vocabulary = model.get_output_embeddings().weight.shape[0]
    return tuple(token for token in model.generation_config.suppress_tokens or () if 0 <= token < vocabulary)
