"""What the forward passes over a context are given: token ids, or embeddings with pictures in their place.

A picture's features are computed once, one picture at a time, and take the place of its placeholders' embeddings, as
the model itself does it. Knows nothing of attention or caches.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xmguard.backends.pictures import Picture
from xmguard.backends.transformers.families.layout import rope_index, types_its_tokens
from xmguard.backends.transformers.loaded import LoadedModel
from xmguard.deadline import Stop


@dataclass(frozen=True)
class ContextInputs:
    """Of one sequence from its first token on."""

    read: Tensor
    """Token ids [1, key], or embeddings [1, key, hidden]."""
    rotary: Tensor
    """Positions that keys are rotated by, [1, key]; [3, 1, key] where tokens of pictures have three (M-RoPE)."""
    rotary_offset: int = 0
    """See `ContextKeys.rotary_offset`."""
    types: Tensor | None = None
    """1 for a picture's tokens and 0 elsewhere, [1, key], for a model that lets a picture's tokens read each other
    both ways; None where attention is causal throughout."""


@torch.inference_mode()
def context_inputs(
    loaded: LoadedModel, ids: Sequence[int], pictures: Sequence[Picture] | None, stop: Stop
) -> ContextInputs:
    """Of a sequence of tokens and the pictures in it.

    `stop` is looked at before every picture; the vision tower's pass over one is not interrupted.

    Raises:
        Cancelled, DeadlineExceeded: `stop` said so.
        RuntimeError: the vision tower gives another number of features than the processor left room for.
    """
    model = loaded.model
    read = torch.tensor([list(ids)], device=model.device)
    rotary = torch.arange(len(ids), device=model.device).unsqueeze(0)
    if not pictures:
        return ContextInputs(read, rotary)
    types, place = torch.zeros_like(read), torch.zeros_like(read, dtype=torch.bool)
    for picture in pictures:
        start = picture.start
        types[0, start : start + len(picture.ids)] = torch.tensor(picture.types, device=model.device)
        place[0, torch.tensor(picture.placeholders, device=model.device) + start] = True
    # A placeholder's id may lie outside the vocabulary; its embedding is replaced anyhow.
    embeddings = model.get_input_embeddings()(read.masked_fill(place, 0))
    features = []
    for picture in pictures:
        stop.check()
        features.append(_features(model, picture))
    embeddings[place] = torch.cat(features).to(embeddings.dtype)
    offset = 0
    if index := rope_index(model):
        wanted = inspect.signature(index).parameters
        shared = {
            name: torch.cat([one.inputs[name] for one in pictures]) for name in pictures[0].inputs if name in wanted
        }
        rotary, _ = index(
            input_ids=read, mm_token_type_ids=types, **{name: grid.to(model.device) for name, grid in shared.items()}
        )
        offset = int(rotary.max()) + 1 - len(ids)
    return ContextInputs(embeddings, rotary, offset, types if types_its_tokens(model) else None)


def _features(model: Any, picture: Picture) -> Tensor:
    """[placeholder, hidden]."""
    inputs = {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None)
        for name, value in picture.inputs.items()
    }
    found = model.get_image_features(**inputs, return_dict=True).pooler_output
    pieces = [found] if isinstance(found, Tensor) else list(found)
    features = torch.cat([piece.reshape(-1, piece.shape[-1]) for piece in pieces])
    if len(features) != len(picture.placeholders):
        raise RuntimeError(
            f"the vision tower gives {len(features)} features for a picture, "
            f"the processor left room for {len(picture.placeholders)}"
        )
    return features
