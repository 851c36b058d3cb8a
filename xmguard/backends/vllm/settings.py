"""How vLLM is to be started: what the command line and callers may say, checked before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from xmguard.backends.vllm.gpu_evidence import unverified
from xmguard.errors import FieldViolation, InvalidRequest, SetupIncomplete

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
OF_ANOTHER_MODEL = frozenset(
    {
        "code_revision",
        "config_format",
        "convert",
        "diffusion_config",
        "disable_sliding_window",
        "hf_config_path",
        "hf_overrides",
        "ignore_patterns",
        "model_class_overrides",
        "model_weights",
        "override_generation_config",
        "quantization",
        "quantization_config",
        "revision",
        "runner",
        "tokenizer_revision",
        "watermark_config",
    }
)
"""Those with which the numbers would not be those of the folder's model, whose hash a response is stamped with."""
_AUTO = "auto"
"""What `kv_cache_dtype` is called where keys are kept in the precision that they were computed in."""
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
    max_model_len: int | None
    """Tokens of prompt and answer together, of those that the model reads; None is all of them."""
    arguments: Mapping[str, Any]
    """Of vLLM's `AsyncEngineArgs`."""

    @property
    def machines(self) -> bool:
        """Whether its workers may be on several machines."""
        return self.arguments.get("distributed_executor_backend") == "ray"

    @staticmethod
    def read(device: str, dtype: str, options: Mapping[str, Any]) -> EngineSettings:
        """From what was asked for.

        Args:
            device: a torch device.
            dtype: one of `DTYPES`.
            options: `concurrency`, `experimental`, `compiled`, and arguments of vLLM's engine by their names.

        Raises:
            InvalidRequest: one of them is none, or cannot be had; with every such one.
        """
        from vllm.engine.arg_utils import AsyncEngineArgs

        left = dict(options)
        concurrency, length = left.pop("concurrency", CONCURRENCY), left.pop("max_model_len", None)
        switches = {"experimental": left.pop("experimental", False), "compiled": left.pop("compiled", True)}
        known = {field.name for field in fields(AsyncEngineArgs)}
        wrong = [] if dtype in DTYPES else [FieldViolation("dtype", f"is {dtype!r}; one of {', '.join(DTYPES)}")]
        wrong += [
            FieldViolation(name, f"is {value!r}; a whole number from 1")
            for name, value in (("concurrency", concurrency), ("max_model_len", 1 if length is None else length))
            if type(value) is not int or value < 1
        ]
        wrong += [
            FieldViolation(name, f"is {value!r}; true or false")
            for name, value in switches.items()
            if not isinstance(value, bool)
        ]
        faults = {name: _fault(name, value, known) for name, value in left.items()}
        wrong += [FieldViolation(name, fault) for name, fault in faults.items() if fault]
        if wrong:
            raise InvalidRequest(wrong)
        on_cpu = device.split(":")[0] == "cpu"
        arguments = _on_cpu(left) if on_cpu else left
        return EngineSettings(
            device, concurrency, **switches, max_model_len=length, arguments=arguments | {"dtype": dtype}
        )

    def context_length(self, most: int) -> int:
        """Tokens of prompt and answer together.

        Args:
            most: those that the model reads.

        Raises:
            InvalidRequest: more are asked for.
        """
        if self.max_model_len is not None and self.max_model_len > most:
            raise InvalidRequest.field("max_model_len", f"is {self.max_model_len}; the model reads {most} tokens")
        return self.max_model_len or most

    def check_machine(self) -> None:
        """See that vLLM, as it is installed, runs here.

        Raises:
            InvalidRequest: it was installed for another device.
            SetupIncomplete: its inside is not as it is known, or it is to run on what is not verified.
        """
        from vllm.platforms import current_platform

        from xmguard.backends.vllm.worker import versions

        wanted, found = self.device.split(":")[0], str(current_platform.device_type or "nothing here")
        if moved := versions.line(found):
            raise SetupIncomplete(moved)
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


def _fault(name: str, value: Any, known: Collection[str]) -> str:
    """What is wrong with an option for vLLM; empty if nothing is."""
    if name in OURS:
        return "is set by xmguard"
    if name not in known:
        return f"is no argument of vLLM's engine{''.join(f'; {one} is' for one in get_close_matches(name, known, 1))}"
    if name in OF_ANOTHER_MODEL or (name == "kv_cache_dtype" and value != _AUTO):
        return "would change the numbers of the folder's model; make a folder of the model that is wanted"
    if name.startswith("data_parallel"):
        return "would start engines side by side, which are not told apart here; start a server for each"
    if name in ("nnodes", "node_rank"):
        return "would need ranks that hear of no reading; those on other machines: distributed_executor_backend=ray"
    return ""


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
