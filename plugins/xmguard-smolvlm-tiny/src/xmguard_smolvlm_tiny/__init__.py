"""Brings `smolvlm-tiny`, a vision-language model: its classes, and its source where its weights are.

Importing this module reads nothing heavy: the model's code is imported when it is registered or put together.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import ModelSource
from xmguard.hookspecs import hookimpl
from xmguard.providers import ArchitectureProvider
from xmguard_smolvlm_tiny import travelling
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
    """The model of this plugin; none while its weights are not in the distribution, so that nobody is sent for it."""
    return [SmolVlmTiny(travelling.FOLDER)] if (travelling.FOLDER / travelling.MANIFEST).is_file() else []
