"""Engines that models are loaded into. Listing them imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.hookspecs import hookimpl
from xmguard.providers import BackendProvider


@hookimpl
def xmguard_backends() -> Iterable[BackendProvider]:
    """The engine that comes with xmguard."""
    return [
        BackendProvider(
            name="transformers",
            summary="PyTorch models in process, one request at a time, float32 or bfloat16",
            target="xmguard.backends.transformers.loader:load",
            requires="xmguard[hf]",
        )
    ]
