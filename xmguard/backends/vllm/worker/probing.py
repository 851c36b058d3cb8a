"""The pair probe in vLLM: the state that the last row of a prompt has after the probe's layers, classified.

The request's other layers are run and not looked at. Knows nothing of what the classes mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from xmguard.backends.low_rank import Unusable
from xmguard.backends.probe_files import ANOTHER, check_layers, classifier
from xmguard.backends.vllm.worker.readings import Readings
from xmguard.backends.vllm.worker.row_adapters import PROBE


def install_probe(
    others: Mapping[str, Tensor], count: int, attentions: list[str], model: Any, dtype: torch.dtype, readings: Readings
) -> None:
    """Read the probe whenever the prompt of a request with its adapter is through.

    Args:
        others: what its files hold besides updates: the classifier.
        count: how many layers it runs.
        attentions: names of the model's attention layers, the first layer's first.
        model: vLLM's.
        dtype: of its weights.
        readings: this worker's.

    Raises:
        Unusable: the classifier does not fit, or the model's layers and final norm are not where they are looked for.
    """
    head = classifier(others, model.config.get_text_config(decoder=True).hidden_size).to(dtype)
    check_layers(count, len(attentions))
    modules = dict(model.named_modules())
    found = re.match(r"(?P<decoder>.*)\.(?P<list>\w+)\.\d+\.", attentions[count - 1])
    decoder = modules.get(found["decoder"]) if found else None
    norm = getattr(decoder, "norm", None)
    if found is None or not isinstance(norm, nn.Module):
        raise Unusable("cannot be read from this model: its final norm is not where it is looked for", remedy=ANOTHER)
    layer = modules[found[0].removesuffix(".")]

    def read(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        for chunk in readings.finishing(PROBE):
            state = _state(output, chunk.row_of(chunk.stop - 1))
            logits = nn.functional.linear(norm(state), head).float()
            readings.probed(chunk, logits[0].tolist())

    layer.register_forward_hook(read)


def _state(output: Any, row: int) -> Tensor:
    """[1, hidden]: a row after a decoder layer, which may leave the addition of the residual to the next."""
    parts = [part for part in (output if isinstance(output, tuple) else (output,)) if part is not None]
    total: Tensor = sum((part[row] for part in parts[1:]), start=parts[0][row].clone())
    return total.unsqueeze(0)
