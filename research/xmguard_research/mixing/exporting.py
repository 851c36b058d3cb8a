"""Turns a checkpoint folder into a model folder that every engine loads: the adapter merged into the base's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from xmguard.errors import InvalidRequest, ModelRefused
from xmguard.plugins import load_plugins
from xmguard_research.mixing import checkpoint
from xmguard_research.mixing.bases import OPTIONS, find_base
from xmguard_research.mixing.folders import told
from xmguard_research.mixing.modelling import merged
from xmguard_research.mixing.readers import load_reader

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def export(model: Path, out: Path, *, dtype: str = "float32", tell: Callable[[str], None] = lambda step: None) -> None:
    """Write `out`: safetensors, configuration, tokenizer and card, without an adapter.

    Args:
        model: a checkpoint folder.
        out: must not be there, or be empty.
        dtype: of the weights; adapters are merged in float32 and rounded afterwards.
        tell: told the steps.

    Raises:
        InvalidRequest: an unknown dtype, or `out` holds something.
        ModelRefused: `model` is no checkpoint folder, its adapter is not the one its card is about, or acts on the
            answer alone.
        ModelNotFound: its base is not on this machine.
        XmguardError: `out` cannot be written; nothing is left of it.
    """
    if dtype not in DTYPES:
        raise InvalidRequest.field("--dtype", f"is {dtype!r}; one of {', '.join(DTYPES)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidRequest.field("--out", f"{out} holds something already; choose another folder")
    registry = load_plugins()
    base = find_base(str(model), registry)
    if "training" not in base.card:
        raise ModelRefused(str(model), ["it holds no card of a training; give the folder `model` of a run"])
    tell(f"reading {base.name}")
    whole = base.auto.from_pretrained(base.path, dtype=torch.float32, use_safetensors=True, **OPTIONS)
    if base.adapter is not None:
        tell("merging the adapter")
        whole = merged(whole, base)
    # Profile and benchmarks were measured with the adapter beside the weights, and in another dtype.
    card = {key: value for key, value in base.card.items() if key not in ("adapter", "profile", "measured")}
    card |= {"dtype": dtype, "benchmarks": []}
    reader = load_reader(base, registry)
    tell(f"writing {out}")
    with told(out):
        checkpoint.write(whole.to(DTYPES[dtype]), reader, out, card)
