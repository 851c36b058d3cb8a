"""The built-in modalities, offered through the same hook as a plugin's. Knows no engine and no tokenizer."""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import Modality
from xmguard.hookspecs import hookimpl
from xmguard.modalities.text import TextModality


@hookimpl
def xmguard_modalities() -> Iterable[Modality]:
    """Plain text."""
    return [TextModality()]
