"""What one worker on a GPU keeps for as long as it runs: tables, workspace and projections at addresses that stay.

It is made before vLLM captures its graphs, when the model is loaded but not yet examined; what is found out later is
written into it. Knows nothing of batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xmguard.attention.slot_tables import SlotTables
from xmguard.backends.vllm.spec import KEY
from xmguard.backends.vllm.worker.examination import attention_layers
from xmguard.backends.vllm.worker.readings import ModelFacts
from xmguard.backends.vllm.worker.reports import Reports
from xmguard.backends.vllm.worker.slots import Slots

SPANS = 15
"""Most spans of a request: with the rest they are one tile of segments."""


@dataclass
class CudaEngine:
    """One for each worker of an engine."""

    slots: Slots
    tables: SlotTables
    factors: Tensor
    """R_h, [layer, head, head_dim, head_dim] float32; zero until the model was examined."""
    layers: Mapping[str, int]
    """vLLM's name of each attention layer to its number."""
    workspace: Any
    """`triton_paged.Workspace`, for as many requests as a batch has, those that pad a captured one included."""

    def learn(self, facts: ModelFacts) -> None:
        """Take over what was found out about the model.

        Raises:
            ValueError: it is another model than the one this was made for.
        """
        if dict(facts.layers) != dict(self.layers):
            raise ValueError("the layers that were examined are not those that graphs were captured for")
        for own, found in zip(self.factors, facts.factors, strict=True):
            own.zero_()
            own[:, : found.shape[1]].copy_(found)
        self.slots.facts = facts


_ENGINES: dict[str, CudaEngine] = {}


def engine_of(vllm_config: Any, device: torch.device | str) -> CudaEngine | None:
    """This worker's, by the address its front listens at; None if the engine is not xmguard's.

    Raises:
        RuntimeError: the model has no attention layer.
    """
    asked = (vllm_config.additional_config or {}).get(KEY)
    if asked is None:
        return None
    address = asked["address"]
    if address not in _ENGINES:
        from vllm.model_executor.models.utils import extract_layer_index

        from xmguard.attention.triton_paged import Workspace
        from xmguard.backends.vllm.worker.telling import Teller

        found = attention_layers(vllm_config)
        if not found:
            raise RuntimeError("xmguard: the model has no attention layers")
        names = sorted(found, key=extract_layer_index)
        facts = ("num_heads", "num_kv_heads", "head_size")
        heads, kv_heads, head_dim = (max(getattr(found[name], fact) for name in names) for fact in facts)
        parallel, scheduler = vllm_config.parallel_config, vllm_config.scheduler_config
        spans = asked.get("spans", SPANS)
        tables = SlotTables.empty(scheduler.max_num_seqs, spans=spans, layers=len(names), heads=heads, device=device)
        teller = Teller(address, asked["secret"], parallel.rank, parallel.tensor_parallel_size)
        captured = vllm_config.compilation_config.max_cudagraph_capture_size or 0
        _ENGINES[address] = CudaEngine(
            slots=Slots(tables, teller, Reports()),
            tables=tables,
            factors=torch.zeros(len(names), heads, head_dim, head_dim, device=device),
            layers={name: number for number, name in enumerate(names)},
            workspace=Workspace.of(
                max(scheduler.max_num_seqs, captured), heads, head_dim, kv_heads=kv_heads, spans=spans, device=device
            ),
        )
    return _ENGINES[address]
