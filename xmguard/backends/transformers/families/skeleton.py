"""Builds a model from its configuration alone, on torch's meta device: every module, not one number.

Takes classes from transformers by name, and those that installed plugins register; `auto_map`, which names a model's
own code, is never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, PreTrainedModel

from xmguard.backends.transformers.families.architectures import model_class as registered_class
from xmguard.backends.transformers.families.architectures import register
from xmguard.providers import ArchitectureProvider


def architecture(config: Mapping[str, Any]) -> str:
    """The class that a config.json names."""
    named = config.get("architectures")
    return ", ".join(map(str, named)) if named and isinstance(named, list) else "(none named)"


def build(
    folder: Path, config: Mapping[str, Any], provider: ArchitectureProvider | None = None
) -> tuple[Any | None, str]:
    """The `PreTrainedModel` that a config.json describes, on the meta device, or None and why there is none.

    Args:
        folder: the model folder, of which only config.json is read.
        config: what that says.
        provider: the plugin that brings its model type, None for transformers' own.

    Raises:
        PluginError: the plugin does not register what it brings.
    """
    name, kind = architecture(config), config.get("model_type")
    if provider is not None:
        register(provider)
    known = f"transformers {transformers.__version__}"
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        return None, f"{known} knows no model type {kind}"
    try:
        config_class = CONFIG_MAPPING[kind]
        model_class = getattr(transformers, name, None)
        if provider is not None:
            registered = registered_class(config_class)
            model_class = registered if getattr(registered, "__name__", None) == name else None
        if not isinstance(model_class, type) or not issubclass(model_class, PreTrainedModel):
            return None, f"{known} knows no model class {name}"
        if getattr(model_class, "config_class", None) != config_class:
            return None, f"{known} does not build {name} from a configuration of model type {kind}"
        settings = config_class.from_pretrained(folder, local_files_only=True)
        # What the file asks for may not be installed; no attention is computed here.
        settings._attn_implementation = "eager"
        with torch.device("meta"):
            return model_class(settings), ""
    except Exception as error:  # any kind at all: a constructor fails in its own way on each wrong value
        return None, f"{known} cannot build it from its config.json: {' '.join(str(error).split())[:300]}"
