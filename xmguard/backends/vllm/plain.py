"""vLLM with nothing of xmguard's in its processes: what the costs of readings are compared with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmguard.backends.vllm.engine import Engine
from xmguard.backends.vllm.loader import ENVIRONMENT, ON_CPU, started
from xmguard.backends.vllm.settings import EngineSettings

_PLUGINS = "VLLM_PLUGINS"
"""Names of the plugins that vLLM's processes load; those of an empty list are none."""


def start(path: Path, *, length: int, dtype: str = "float32", options: Mapping[str, Any] | None = None) -> Engine:
    """A started engine on the CPU; its requests have to be submitted with `read=False`.

    Args:
        path: a model's folder.
        length: tokens of a prompt and what follows it.
        dtype: one of `settings.DTYPES`.
        options: as `loader.load` takes them.

    Raises:
        InvalidRequest: an unknown dtype or option.
        ModelRefused: vLLM does not start with it.
    """
    for name, value in (ENVIRONMENT | ON_CPU).items():
        os.environ.setdefault(name, value)
    settings = EngineSettings.read("cpu", dtype, options or {})
    before = os.environ.get(_PLUGINS)
    os.environ[_PLUGINS] = ""
    try:
        return started(path, settings, length, None)
    finally:
        if before is None:
            del os.environ[_PLUGINS]
        else:
            os.environ[_PLUGINS] = before


def greedy(tokens: int, *, logprobs: bool = False) -> Any:
    """`SamplingParams` of exactly so many greedy tokens, each with its log-probability where that is asked for."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=tokens,
        temperature=0.0,
        logprobs=0 if logprobs else None,
        detokenize=False,
        ignore_eos=True,
        output_kind=RequestOutputKind.DELTA,
    )
