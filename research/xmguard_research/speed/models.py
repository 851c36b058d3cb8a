"""The same weights four times: read by xmguard, by xmguard without an end token, and by plain transformers twice.

Decoding steps are compared on models that never end, so that every variant takes as many; whole checks and answers are
timed with the model as it is.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from xmguard import Guard, load_guard
from xmguard.contracts import Backend

_END_KEYS: Mapping[str, str] = {
    "config.json": "eos_token_id",
    "generation_config.json": "eos_token_id",
    "tokenizer_config.json": "eos_token",
    "special_tokens_map.json": "eos_token",
}
"""Where a model folder says how a text ends."""


def endless(folder: Path, target: Path) -> Path:
    """Make `target` a model folder of the same weights, by links, that declares no end token."""
    for file in folder.iterdir():
        key = _END_KEYS.get(file.name)
        if key is None:
            _linked(file.resolve(), target / file.name)
        else:
            # A missing key would come back as the architecture's default.
            declared = json.loads(file.read_text(encoding="utf-8")) | {key: None}
            (target / file.name).write_text(json.dumps(declared), encoding="utf-8")
    return target


def _linked(file: Path, name: Path) -> None:
    """The same file under another name, or a copy on another disk; symbolic links that lead out are refused."""
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)


def load_plain(folder: Path, attention: str, dtype: str) -> Any:
    """The model as transformers reads it by itself, with `sdpa` or `eager` attention."""
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation=attention, **options
    )
    return model.eval().requires_grad_(False)


@dataclass
class Models:
    """Models of one folder, loaded when they are first needed."""

    folder: Path
    """The model as it is."""
    endless: Path
    """The same without an end token (`endless`)."""
    dtype: str

    @cached_property
    def guard(self) -> Guard:
        """The guard as it is used."""
        return load_guard(str(self.folder), dtype=self.dtype)

    @cached_property
    def backend(self) -> Backend:
        """The engine of xmguard, never ending."""
        return load_guard(str(self.endless), dtype=self.dtype).backend

    @cached_property
    def sdpa(self) -> Any:
        """Plain transformers as a user loads it, never ending."""
        return load_plain(self.endless, "sdpa", self.dtype)

    @cached_property
    def eager(self) -> Any:
        """Plain transformers that can return its attention weights, never ending."""
        return load_plain(self.endless, "eager", self.dtype)
