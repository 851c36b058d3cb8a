"""What vLLM calls in each of its processes at start (entry point group `vllm.general_plugins`), for GPUs.

It changes nothing on other machines, and nothing for an engine that was not started by xmguard: there every request is
vLLM's own.
"""

from __future__ import annotations

FLASH = "xmguard.backends.vllm.worker.cuda.SteeredFlashBackend"
TRITON = "xmguard.backends.vllm.worker.cuda.SteeredTritonBackend"
TAP = "xmguard.backends.vllm.worker.cuda_tap:CudaTap"
"""To be given to the engine as one of its `logits_processors`."""
EXTENSION = "xmguard.backends.vllm.worker.cuda_extension.CudaExtension"
"""To be given to the engine as its `worker_extension_cls`."""


def register() -> None:
    """Put xmguard's attention in the place of two backends of vLLM's. Safe to call again."""
    from vllm.platforms import current_platform

    if not current_platform.is_cuda():
        return
    from vllm.v1.attention.backends.registry import AttentionBackendEnum, register_backend

    register_backend(AttentionBackendEnum.FLASH_ATTN, FLASH)
    register_backend(AttentionBackendEnum.TRITON_ATTN, TRITON)
