"""Architectures that plugins bring: their classes are registered with transformers before a folder of theirs is read.

Runs installed code that a plugin names, never code from a model folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from xmguard.errors import PluginError
from xmguard.providers import ArchitectureProvider

Architectures = Mapping[str, ArchitectureProvider]
"""Model type to who provides it."""


def register(provider: ArchitectureProvider) -> None:
    """Have a plugin register its classes with transformers' Auto classes; once a process.

    Raises:
        PluginError: its function cannot be imported or fails.
    """
    try:
        _call(provider.target)
    except Exception as error:  # a plugin may raise anything; the folder cannot be read without it
        raise PluginError(
            f"architecture {provider.model_type!r}: {provider.target} failed: {type(error).__name__}: {error}"
        ) from error


@cache
def _call(target: str) -> None:
    module, function = target.split(":")
    getattr(import_module(module), function)()


def model_class(config_class: Any) -> Any | None:
    """What is registered as the model that answers for a configuration class, None if nothing is."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    for auto in (AutoModelForImageTextToText, AutoModelForCausalLM):
        if config_class in auto._model_mapping:
            return auto._model_mapping[config_class]
    return None
