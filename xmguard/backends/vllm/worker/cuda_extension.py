"""What the front may ask of every worker on a GPU, by `collective_rpc`; the counterpart of `extension`.

Unverified on a GPU. Examining the loaded model comes first: a request with a reading is refused before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from xmguard import __version__
from xmguard.attention.head_norms import norm_factors
from xmguard.backends.vllm.spec import KEY
from xmguard.backends.vllm.worker.cuda_engine import CudaEngine, engine_of
from xmguard.backends.vllm.worker.examination import attention_layers, output_projection, weight_of
from xmguard.backends.vllm.worker.readings import ModelFacts
from xmguard.backends.vllm.worker.refusals import config_reasons

FLASH_VERSIONS = (2, 3)
"""Of flash attention: those that write zeros for a request without keys."""


class CudaExtension:
    """Methods that vLLM adds to its worker class."""

    model_runner: Any
    vllm_config: Any

    def xmguard_examine(self) -> dict[str, Any]:
        """Find out about the loaded model what readings need.

        Returns:
            As `extension.Extension.xmguard_examine`.
        """
        engine = self._xmguard_engine()
        layers = attention_layers(self.vllm_config)
        reasons = refusals(self.vllm_config, layers)
        if not reasons:
            projections, reasons = written_through(
                self.model_runner.model, {name: layers[name] for name in engine.layers}
            )
        if reasons:
            return {"version": __version__, "layers": 0, "heads": 0, "path": "", "reasons": reasons}
        heads, parallel = engine.tables.head_factors.shape[2], self.vllm_config.parallel_config
        first = parallel.rank % parallel.tensor_parallel_size * heads
        with torch.device(self.model_runner.device):
            factors = [norm_factors(weight_of(projection), heads) for projection in projections]
        ranks = parallel.tensor_parallel_size
        facts = ModelFacts(engine.layers, heads * ranks, slice(first, first + heads), factors)
        engine.learn(facts)
        engine.slots.occupant = self.model_runner.req_states.index_to_req_id.get
        found = {"layers": len(facts.factors), "heads": facts.heads, "path": "Triton kernels", "reasons": []}
        return {"version": __version__, **found}

    def xmguard_generated(self, requests: list[str]) -> None:
        """Tell what has been summed over generated tokens of these so far; the answer comes by the side channel."""
        self._xmguard_engine().slots.tell_generated(requests)

    def xmguard_known(self) -> int:
        """How many requests with a reading are held."""
        return len(self._xmguard_engine().slots)

    def _xmguard_engine(self) -> CudaEngine:
        engine = engine_of(self.vllm_config, self.model_runner.device)
        if engine is None:
            raise RuntimeError(f"the engine was started without {KEY!r} in its additional_config")
        return engine


def written_through(model: Any, layers: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    """The output projection of each attention layer, or why they cannot be had."""
    parents = {id(child): parent for parent in model.modules() for child in parent.children()}
    found = {
        name: output_projection(parents[id(layer)], layer) if id(layer) in parents else None
        for name, layer in layers.items()
    }
    reasons = [
        f"it cannot be seen what {name} writes through" for name, projection in found.items() if projection is None
    ]
    if len(heads := {layer.num_heads for layer in layers.values()}) > 1:
        reasons.append(f"the model's layers differ in their heads: {sorted(heads)}")
    return list(found.values()), reasons


def refusals(vllm_config: Any, layers: Any) -> list[str]:
    """Why readings cannot be had on a GPU from an engine that was configured so, and whose attention is `layers`."""
    asked = (vllm_config.additional_config or {}).get(KEY, {})
    found = list(config_reasons(vllm_config, v2=True))
    if asked.get("adapters"):
        found.append("adapters are not run on CUDA")
    for name, layer in layers.items():
        found += [f"{name} {reason}" for reason in layer_refusals(layer.impl)]
    return found


def layer_refusals(impl: Any) -> list[str]:
    """Why one layer's attention cannot be read under a bias."""
    from vllm.v1.attention.backend import AttentionType

    from xmguard.backends.vllm.worker.cuda import SteeredLayer

    if not issubclass(type(impl), SteeredLayer):
        return [f"is run by {type(impl).__name__}; --attention-backend FLASH_ATTN or TRITON_ATTN is steered"]
    version = getattr(impl, "vllm_flash_attn_version", FLASH_VERSIONS[0])
    reasons = {
        f"attends as {impl.attn_type}, not as a decoder": impl.attn_type != AttentionType.DECODER,
        "has ALiBi slopes": impl.alibi_slopes is not None,
        "shares another layer's keys": impl.kv_sharing_target_layer_name is not None,
        "attends within chunks": getattr(impl, "chunk_lookback", -1) >= 0,
        f"is run by flash attention {version}; versions 2 and 3 are known to pass over empty requests": (
            version not in FLASH_VERSIONS
        ),
    }
    return [reason for reason, holds in reasons.items() if holds]
