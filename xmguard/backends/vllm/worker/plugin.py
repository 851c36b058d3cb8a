"""What vLLM calls in each of its processes at start (entry point group `vllm.general_plugins`).

It changes nothing for an engine that was not started by xmguard: such an engine has no request with a reading, and its
processes do not watch their parents.
"""

from __future__ import annotations

from xmguard.backends.vllm.worker import hashing, parent_watch

BACKEND = "xmguard.backends.vllm.worker.cpu.SteeredCPUBackend"
TAP = "xmguard.backends.vllm.worker.tap:Tap"
"""To be given to the engine as one of its `logits_processors`."""
EXTENSION = "xmguard.backends.vllm.worker.extension.Extension"
"""To be given to the engine as its `worker_extension_cls`."""


def register() -> None:
    """Put xmguard's attention in the place of the CPU backend's, and its keys into the prefix cache."""
    from vllm.v1.attention.backends.registry import AttentionBackendEnum, register_backend

    # The CPU platform takes this member whatever was asked for.
    register_backend(AttentionBackendEnum.CPU_ATTN, BACKEND)
    hashing.install()
    parent_watch.watch()
