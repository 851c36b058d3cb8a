"""Models that xmguard can put on this machine by name, and where a model's name leads.

Built-in plugin `builtin-models`. Fetching and converting is all that happens here: nothing is loaded for answering.
"""

from __future__ import annotations

from xmguard.contracts import ModelSource
from xmguard.hookspecs import hookimpl
from xmguard.models.smollm2 import SmolLM2


@hookimpl
def xmguard_models() -> list[ModelSource]:
    """The embedded default model."""
    return [SmolLM2()]
