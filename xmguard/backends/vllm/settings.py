"""How vLLM is to be started: what the command line and callers may say, checked before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from xmguard.backends.vllm.gpu_evidence import unverified
from xmguard.errors import InvalidRequest, SetupIncomplete

DTYPES = ("float32", "bfloat16")
CONCURRENCY = 16
"""Requests that are answered at once unless told otherwise. Each has several branches in vLLM's batch."""
OURS = frozenset(
    {
        "additional_config",
        "async_scheduling",
        "block_size",
        "disable_log_stats",
        "dtype",
        "enable_prefix_caching",
        "generation_config",
        "limit_mm_per_prompt",
        "load_format",
        "logits_processors",
        "logprobs_mode",
        "max_model_len",
        "mm_processor_cache_gb",
        "mm_processor_kwargs",
        "model",
        "skip_tokenizer_init",
        "tokenizer",
        "trust_remote_code",
        "use_tqdm_on_load",
        "worker_extension_cls",
    }
)
"""Arguments of vLLM's that xmguard sets itself."""
CACHE_BYTES = 4 << 30
"""Of keys and values on a CPU, where vLLM would take nearly all of the memory, unless told otherwise."""


@dataclass(frozen=True)
class EngineSettings:
    """Settings of one engine."""

    device: str
    concurrency: int
    """Requests of xmguard's that run at once."""
    experimental: bool
    """Whether what is not verified may be served."""
    compiled: bool
    """Whether rows may be read by the compiled kernel, where it knows how their keys lie."""
    arguments: Mapping[str, Any]
    """Of vLLM's `AsyncEngineArgs`."""

    @staticmethod
    def read(device: str, dtype: str, options: Mapping[str, Any]) -> EngineSettings:
        """From what was asked for.

        Args:
            device: a torch device.
            dtype: one of `DTYPES`.
            options: `concurrency`, `experimental`, `compiled`, and arguments of vLLM's engine by their names.

        Raises:
            InvalidRequest: one of them is none, with every such one.
        """
        from vllm.engine.arg_utils import AsyncEngineArgs

        if dtype not in DTYPES:
            raise InvalidRequest.field("dtype", f"is {dtype!r}; one of {', '.join(DTYPES)}")
        left = dict(options)
        concurrency, experimental = left.pop("concurrency", CONCURRENCY), left.pop("experimental", False)
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
            raise InvalidRequest.field("concurrency", f"is {concurrency!r}; a whole number from 1")
        compiled = left.pop("compiled", True)
        if not isinstance(compiled, bool):
            raise InvalidRequest.field("compiled", f"is {compiled!r}; true or false")
        known = {field.name for field in fields(AsyncEngineArgs)}
        for name in left:
            if name in OURS:
                raise InvalidRequest.field(name, "is set by xmguard")
            if name not in known:
                raise InvalidRequest.field(name, "is no argument of vLLM's engine")
        on_cpu = device.split(":")[0] == "cpu"
        arguments = _on_cpu(left) if on_cpu else left
        return EngineSettings(device, concurrency, bool(experimental), compiled, arguments | {"dtype": dtype})

    def check_machine(self) -> None:
        """See that vLLM, as it is installed, runs here.

        Raises:
            InvalidRequest: it was installed for another device.
            SetupIncomplete: its inside is not as it is known, or it is to run on what is not verified.
        """
        from vllm.platforms import current_platform

        from xmguard.backends.vllm.worker import versions

        if moved := versions.line():
            raise SetupIncomplete(moved)
        wanted, found = self.device.split(":")[0], str(current_platform.device_type or "nothing here")
        if wanted != found:
            raise InvalidRequest.field("device", f"is {self.device!r}; the installed vLLM runs on {found}")
        if wanted != "cpu" and not self.experimental and (why := unverified_here()) is not None:
            raise SetupIncomplete(f"{why}; to serve on it all the same: --experimental")


def unverified_here() -> str | None:
    """Why nothing shows that a bias is applied exactly on the device that vLLM runs on; None if something does."""
    import vllm
    from vllm.platforms import current_platform

    if not current_platform.is_cuda():
        return f"{current_platform.device_type}: unverified: xmguard has no kernels for it"
    found = current_platform.get_device_capability()
    why = unverified(vllm.__version__, None if found is None else (found.major, found.minor))
    return None if why is None else f"CUDA: unverified: {why}"


def no_pictures_here() -> str | None:
    """Why vLLM can run no model that reads pictures on this machine; None if it can."""
    try:
        import_module("torchvision")
    except Exception as error:  # it is missing, or was built for another torch
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return f"vLLM's models that read pictures need torchvision, which cannot be imported: {said}"
    return None


def _on_cpu(asked: dict[str, Any]) -> dict[str, Any]:
    """What is asked of vLLM with what it needs to be told on a CPU."""
    # Graphs are captured on GPUs; here vLLM would compile for minutes, and rows are read again outside of it.
    told: dict[str, Any] = {"enforce_eager": True}
    sized = ("kv_cache_memory_bytes", "gpu_memory_utilization", "num_gpu_blocks_override")
    if "VLLM_CPU_KVCACHE_SPACE" not in os.environ and not any(name in asked for name in sized):
        told["kv_cache_memory_bytes"] = CACHE_BYTES
    return told | asked
