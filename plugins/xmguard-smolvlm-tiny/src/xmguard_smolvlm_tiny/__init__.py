"""Brings `smolvlm-tiny`, a vision-language model whose weights travel in this distribution.

Importing this module reads nothing heavy: the model's code is imported when it is registered or put together.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import ModelSource
from xmguard.hookspecs import hookimpl
from xmguard.providers import ArchitectureProvider
from xmguard_smolvlm_tiny.source import SmolVlmTiny


@hookimpl
def xmguard_architectures() -> Iterable[ArchitectureProvider]:
    """The classes of this plugin's model."""
    return [
        ArchitectureProvider(
            "smolvlm_tiny",
            "xmguard_smolvlm_tiny.registration:register",
            "EfficientNet-lite0, a projector, and a Llama, in LLaVA's shape",
        )
    ]


@hookimpl
def xmguard_models() -> Iterable[ModelSource]:
    """The model of this plugin."""
    return [SmolVlmTiny()]
