"""The pair probe: a low-rank adapter of a few last rows, and a classifier of the state they end in.

The adapter is a LoRA as PEFT saves it (`adapter_config.json`, `adapter_model.safetensors`). It acts only while the
probe's own rows are run, after a context that the untouched model has read; at all other times the model is as it was.
Knows nothing of what the classes mean.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xmguard.backends import low_rank
from xmguard.backends.probe_files import check_layers, classifier
from xmguard.backends.transformers.families.layout import decoder_layers
from xmguard.calibration import ProbeSource
from xmguard.errors import ModelRefused


@dataclass(frozen=True)
class Probe:
    """A probe on a loaded model, sharing its weights."""

    decoder: nn.Module
    """The model's first layers and its final norm, as a decoder of its own."""
    layers: int
    updates: low_rank.Updates
    """Of layers in `decoder`."""
    head: Tensor
    """[class, hidden]"""

    def applied(self) -> AbstractContextManager[None]:
        """The adapter acts on every row that is run within."""
        return low_rank.applied(self.updates)

    def logits(self, hidden: Tensor) -> Tensor:
        """[row, class] of states [row, hidden]."""
        return nn.functional.linear(hidden, self.head).float()


def load_probe(source: ProbeSource, model: Any) -> Probe:
    """Read a probe's files and fit it to a loaded model.

    Raises:
        ModelRefused: the files are not what the profile says, or do not fit the model; with every reason.
    """
    name = f"{source.folder.parent.name}/{source.folder.name}"
    try:
        files = low_rank.read(source.folder, source.sha256, "the profile")
        head = classifier(files.others, model.config.get_text_config(decoder=True).hidden_size)
        decoder = _first_layers(model, source.layers)
        like = next(model.parameters())
        updates = files.fit({f"model.{path}": module for path, module in decoder.named_modules()}, like)
    except low_rank.Unusable as error:
        raise ModelRefused(name, [f"the probe {reason}" for reason in error.reasons]) from error
    return Probe(decoder, source.layers, updates, head.to(like.device, like.dtype))


def _first_layers(model: Any, count: int) -> nn.Module:
    """A decoder of a model's first layers that shares every weight with it."""
    layers = decoder_layers(model)
    check_layers(count, len(layers))
    whole = model.get_decoder()
    config = copy(whole.config)
    config.num_hidden_layers = count
    with torch.device("meta"):
        decoder: nn.Module = type(whole)(config)
    for child, module in whole.named_children():
        setattr(decoder, child, nn.ModuleList(layers[:count]) if isinstance(module, nn.ModuleList) else module)
    return decoder.eval()
