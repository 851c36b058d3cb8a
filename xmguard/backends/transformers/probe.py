"""The pair probe: a low-rank adapter of a few last rows, and a classifier of the state they end in.

The adapter is a LoRA as PEFT saves it (`adapter_config.json`, `adapter_model.safetensors`). It acts only while the
probe's own rows are run, after a context that the untouched model has read; at all other times the model is as it was.
Knows nothing of what the classes mean.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xmguard.backends import low_rank
from xmguard.backends.transformers.families.layout import decoder_layers
from xmguard.calibration import ProbeSource
from xmguard.errors import ModelRefused

CLASSES = 3
"""Conflict, agreement, no answer."""
_ANOTHER = "fit it again for this model, or give another --profile"
_HEAD = re.compile(r"base_model\.model\.score(\.modules_to_save(\.default)?)?\.weight")


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
        if unknown := [key for key in files.others if not _HEAD.fullmatch(key)]:
            raise low_rank.Unusable(*(f"holds {key}, which nothing here reads" for key in unknown), remedy=_ANOTHER)
        decoder = _first_layers(model, source.layers)
        like = next(model.parameters())
        updates = files.fit({f"model.{path}": module for path, module in decoder.named_modules()}, like)
        heads = [tensor.to(like.device, like.dtype) for tensor in files.others.values()]
        shape = (CLASSES, model.config.get_text_config(decoder=True).hidden_size)
        if [head.shape for head in heads] != [shape]:
            raise low_rank.Unusable(f"has no classifier that is {' by '.join(map(str, shape))}", remedy=_ANOTHER)
    except low_rank.Unusable as error:
        raise ModelRefused(name, [f"the probe {reason}" for reason in error.reasons]) from error
    return Probe(decoder, source.layers, updates, heads[0])


def _first_layers(model: Any, count: int) -> nn.Module:
    """A decoder of a model's first layers that shares every weight with it."""
    layers = decoder_layers(model)
    if not 0 < count <= len(layers):
        raise low_rank.Unusable(f"runs {count} layers, the model has {len(layers)}", remedy=_ANOTHER)
    whole = model.get_decoder()
    config = copy(whole.config)
    config.num_hidden_layers = count
    with torch.device("meta"):
        decoder: nn.Module = type(whole)(config)
    for child, module in whole.named_children():
        setattr(decoder, child, nn.ModuleList(layers[:count]) if isinstance(module, nn.ModuleList) else module)
    return decoder.eval()
