"""Brings `smolvlm-tiny`, a vision-language model whose weights travel in this distribution.

Importing this module reads nothing heavy: the model's code is imported when it is registered or put together.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import ModelSource
from xmguard.hookspecs import hookimpl
from xmguard_smolvlm_tiny.source import SmolVlmTiny


@hookimpl
def xmguard_models() -> Iterable[ModelSource]:
    """The model of this plugin."""
    return [SmolVlmTiny()]
