"""Brings `smollm2-mixed`: SmolLM2 with an adapter of its joint answers. The model xmguard serves where none is named.

Importing this module reads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.contracts import ModelSource
from xmguard.hookspecs import hookimpl
from xmguard_smollm2_mixed import source


@hookimpl
def xmguard_models() -> Iterable[ModelSource]:
    """The model of this plugin; none while its weights are not in the distribution, so that nobody is sent for it."""
    return [source.SmolLM2Mixed(source.WEIGHTS)] if source.travels(source.WEIGHTS) else []
