"""How many tokens a model reads exactly, from its configuration alone. Imports no engine."""

from __future__ import annotations

from typing import Any


def context_length(config: Any) -> int:
    """Tokens that a model reads exactly as one pass without a cache would.

    With long rotary factors a sequence longer than the original length turns every position by other frequencies, also
    those whose keys are in the cache already; the original length is the limit then.
    """
    limits = [config.max_position_embeddings]
    if original := longrope_length(config):
        limits.append(original)
    return int(min(limits))


def longrope_length(config: Any) -> int | None:
    """Tokens up to which the short factors of a `longrope` model hold; None if it is no such model."""
    parameters = getattr(config, "rope_parameters", None) or {}
    by_kind = [section for section in parameters.values() if isinstance(section, dict)]
    lengths = [
        int(section["original_max_position_embeddings"])
        for section in (parameters, *by_kind)
        if section.get("rope_type") == "longrope"
    ]
    return min(lengths, default=None)
