"""Pictures of instances: read as a served request reads them, and batched as the model's own forward pass takes them.

Knows no messages and no weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xmguard import Media, Span
from xmguard.backends.pictures import Picture, PictureReader
from xmguard.context import ContextSpan
from xmguard.contracts import Modality
from xmguard.errors import InvalidRequest, SetupIncomplete
from xmguard.parts import IMAGE, ImagePart
from xmguard.plugins import Registry

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


@dataclass(frozen=True)
class Placed:
    """A picture in an instance."""

    file: str
    """Its path."""
    start: int
    """Position of the first token of its run."""


class InstancePictures:
    """Reads pictures for one model."""

    def __init__(self, processor: Any, placeholder: int, registry: Registry, model: str) -> None:
        """Read for one model.

        Args:
            processor: the model's.
            placeholder: id of the token whose embedding a feature takes the place of.
            registry: for the modality that decodes files, the one that serves them too.
            model: what to call it when it is refused.

        Raises:
            ModelRefused: the processor cannot be asked about a single picture.
        """
        self._decoder: Modality | None = registry.modalities.items.get(IMAGE)
        self._reader = PictureReader(processor, placeholder, model)
        self._run = cache(self._run_of)

    def ids(self, file: str) -> tuple[int, ...]:
        """The run of tokens that stands for a picture, which a processor lays out by the picture's size.

        Raises:
            InvalidRequest: it is not there, or no picture that can be served.
            SetupIncomplete: no installed modality decodes pictures.
        """
        part = self._decoded(file)
        return self._run(part.width, part.height)

    def count(self, content: bytes, suffix: str, name: str) -> int:
        """Tokens of a picture that is no file yet; raises as `ids` does, by its name."""
        part = self._part(content, suffix, name)
        return len(self._run(part.width, part.height))

    def read(self, file: str) -> Picture:
        """What the model is given of a picture; raises as `ids` does."""
        return self._reader.read(self._decoded(file))

    def _run_of(self, width: int, height: int) -> tuple[int, ...]:
        return self._reader.read(ImagePart(width, height, bytes(3 * width * height))).ids

    def _decoded(self, file: str) -> ImagePart:
        path = Path(file)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InvalidRequest.field(
                file, f"cannot be read: {error.strerror or error}; build the data again"
            ) from error
        return self._part(content, path.suffix.lower(), file)

    def _part(self, content: bytes, suffix: str, name: str) -> ImagePart:
        if self._decoder is None:
            raise SetupIncomplete("nothing installed here reads pictures; run: pip install ./plugins/xmguard-image")
        if suffix not in MEDIA_TYPES:
            raise InvalidRequest.field(name, f"is no picture of {', '.join(MEDIA_TYPES)}; convert it")
        media = Media(MEDIA_TYPES[suffix], content)
        try:
            (part,) = self._decoder.parts(ContextSpan(Span("s1", media=media), IMAGE, "und"))
        except InvalidRequest as error:
            raise InvalidRequest.field(name, error.violations[0].description) from error
        if not isinstance(part, ImagePart):  # a modality of any plugin may have that name
            raise InvalidRequest.field(
                name, "is read as text by the installed modality of pictures; train with another"
            )
        return part


def batched(pictures: Sequence[Picture]) -> dict[str, Tensor]:
    """The arguments of a forward pass over rows that hold these pictures, in order.

    Pictures are put one after another along the first dimension. Of processors that cut a picture into tiles, the
    second dimension is padded with zeros, which the models that take tiles leave out.

    Raises:
        InvalidRequest: pictures have tensors that cannot be put together.
    """
    if not pictures:
        return {}
    found = {}
    for name in pictures[0].inputs:
        tensors = [picture.inputs[name] for picture in pictures]
        if tensors[0].dim() > 3:
            most = max(tensor.shape[1] for tensor in tensors)
            tensors = [_padded(tensor, most) for tensor in tensors]
        if len({tensor.shape[1:] for tensor in tensors}) > 1:
            shapes = ", ".join(sorted({str(list(tensor.shape)) for tensor in tensors}))
            raise InvalidRequest.field(
                "train.instances_per_forward",
                f"puts pictures into one pass whose {name} have shapes {shapes}; give 1, or pictures of one size",
            )
        found[name] = torch.cat(tensors)
    return found


def _padded(tensor: Tensor, most: int) -> Tensor:
    missing = most - tensor.shape[1]
    return nn.functional.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, missing)) if missing else tensor
