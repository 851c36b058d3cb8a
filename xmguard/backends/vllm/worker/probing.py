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
from xmguard.backends.vllm.worker.readings import Readings
from xmguard.backends.vllm.worker.row_adapters import PROBE

CLASSES = 3
_ANOTHER = "fit it again for this model, or give another --profile"
_HEAD = re.compile(r"base_model\.model\.score(\.modules_to_save(\.default)?)?\.weight")


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
    if unknown := [key for key in others if not _HEAD.fullmatch(key)]:
        raise Unusable(*(f"holds {key}, which nothing here reads" for key in unknown), remedy=_ANOTHER)
    if not 0 < count <= len(attentions):
        raise Unusable(f"runs {count} layers, the model has {len(attentions)}", remedy=_ANOTHER)
    modules = dict(model.named_modules())
    found = re.match(r"(?P<decoder>.*)\.(?P<list>\w+)\.\d+\.", attentions[count - 1])
    decoder = modules.get(found["decoder"]) if found else None
    norm = getattr(decoder, "norm", None)
    if found is None or not isinstance(norm, nn.Module):
        raise Unusable("cannot be read from this model: its final norm is not where it is looked for", remedy=_ANOTHER)
    layer = modules[found[0].removesuffix(".")]
    heads = [tensor.to(dtype) for tensor in others.values()]
    shape = (CLASSES, model.config.get_text_config(decoder=True).hidden_size)
    if [tuple(head.shape) for head in heads] != [shape]:
        raise Unusable(f"has no classifier that is {' by '.join(map(str, shape))}", remedy=_ANOTHER)

    def read(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        for chunk in readings.finishing(PROBE):
            state = _state(output, chunk.row_of(chunk.stop - 1))
            logits = nn.functional.linear(norm(state), heads[0]).float()
            readings.probed(chunk, logits[0].tolist())

    layer.register_forward_hook(read)


def _state(output: Any, row: int) -> Tensor:
    """[1, hidden]: a row after a decoder layer, which may leave the addition of the residual to the next."""
    parts = [part for part in (output if isinstance(output, tuple) else (output,)) if part is not None]
    total: Tensor = sum((part[row] for part in parts[1:]), start=parts[0][row].clone())
    return total.unsqueeze(0)
