"""Builds a model from its configuration alone, on torch's meta device: every module, not one number.

Takes classes from transformers only, by name; `auto_map`, which names a model's own code, is never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, PreTrainedModel


def architecture(config: Mapping[str, Any]) -> str:
    """The class that a config.json names."""
    named = config.get("architectures")
    return ", ".join(map(str, named)) if named and isinstance(named, list) else "(none named)"


def build(folder: Path, config: Mapping[str, Any]) -> tuple[Any | None, str]:
    """The `PreTrainedModel` that a config.json describes, on the meta device, or None and why there is none.

    Args:
        folder: the model folder, of which only config.json is read.
        config: what that says.
    """
    name, kind = architecture(config), config.get("model_type")
    known = f"transformers {transformers.__version__}"
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        return None, f"{known} knows no model type {kind}"
    try:
        model_class = getattr(transformers, name, None)
        if not isinstance(model_class, type) or not issubclass(model_class, PreTrainedModel):
            return None, f"{known} knows no model class {name}"
        config_class = CONFIG_MAPPING[kind]
        if getattr(model_class, "config_class", None) != config_class:
            return None, f"{known} does not build {name} from a configuration of model type {kind}"
        settings = config_class.from_pretrained(folder, local_files_only=True)
        # What the file asks for may not be installed; no attention is computed here.
        settings._attn_implementation = "eager"
        with torch.device("meta"):
            return model_class(settings), ""
    except Exception as error:  # any kind at all: a constructor fails in its own way on each wrong value
        return None, f"{known} cannot build it from its config.json: {' '.join(str(error).split())[:300]}"
