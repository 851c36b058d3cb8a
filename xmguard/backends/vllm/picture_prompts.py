"""Pictures on their way into vLLM: expanded and prepared by its own processor, once for all branches of a context.

Where vLLM lays them has to be where the prompt's encoder laid them, token by token; else the request ends here. Knows
nothing of how its workers read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xmguard.backends.pictures import Picture
from xmguard.backends.vllm.engine import Engine
from xmguard.backends.vllm.spec import PicturePlace
from xmguard.deadline import Stop
from xmguard.errors import EngineError, ErrorCode

IMAGE = "image"
"""What vLLM calls pictures."""


@dataclass(frozen=True)
class PreparedPictures:
    """The pictures of a context, as vLLM will run them."""

    rendered: Mapping[str, Any]
    """What vLLM's renderer made of the context; pictures and their places in it are those of every branch."""
    places: tuple[PicturePlace, ...]
    """As vLLM tells them, in order."""


def prepare(engine: Engine, ids: Sequence[int], pictures: Sequence[Picture], stop: Stop) -> PreparedPictures:
    """Have vLLM prepare the pictures of a context.

    Args:
        engine: a started one.
        ids: of the whole context, pictures expanded by their encoder.
        pictures: in order; each has kept its part.
        stop: the caller's.

    Raises:
        EngineError: vLLM cannot take a picture, or lays one elsewhere than its encoder did.
        Cancelled, DeadlineExceeded: `stop` said so.
    """
    rendered = engine.render(
        {
            "prompt_token_ids": folded(ids, pictures),
            "multi_modal_data": {IMAGE: [_image(picture) for picture in pictures]},
        },
        stop,
    )
    found = list(rendered["prompt_token_ids"])
    if found != list(ids):
        said = f"vLLM expands the prompt to {len(found)} tokens that are not the {len(ids)} of its encoder"
        raise EngineError(f"{said}; its positions of the spans would not hold", code=ErrorCode.INTERNAL)
    ranges = rendered["mm_placeholders"][IMAGE]
    hashes = rendered["mm_hashes"][IMAGE]
    places = tuple(PicturePlace(str(name), feature_ranges(each)) for name, each in zip(hashes, ranges, strict=True))
    if [place.features for place in places] != [picture.features for picture in pictures]:
        raise EngineError("vLLM lays pictures elsewhere than their encoder did", code=ErrorCode.INTERNAL)
    for item, picture in zip(rendered["mm_kwargs"][IMAGE], pictures, strict=True):
        _give(item, picture)
    return PreparedPictures(rendered, places)


def folded(ids: Sequence[int], pictures: Sequence[Picture]) -> list[int]:
    """The same context before pictures are expanded, as vLLM takes it."""
    found: list[int] = []
    at = 0
    for picture in pictures:
        found += ids[at : picture.start]
        found += picture.folded
        at = picture.start + len(picture.ids)
    return [*found, *ids[at:]]


def feature_ranges(placeholder: Any) -> tuple[tuple[int, int], ...]:
    """Half-open ranges of the positions that features take, of vLLM's `PlaceholderRange`."""
    return tuple((int(first), int(last) + 1) for first, last in placeholder.extract_embeds_range())


def _give(item: Any, picture: Picture) -> None:
    """Put pixels as the encoder's processor made them into an item of vLLM's.

    vLLM's processor resizes with torchvision, the encoder's with PIL, as for the transformers engine: the pixels differ
    by rounding.
    """
    for name, value in picture.inputs.items():
        made = item[name].data if name in item else None
        own = value[0] if made is not None and value.ndim == made.ndim + 1 else value
        if made is None or not (_fits(made, own) if own.is_floating_point() else _same(made, own)):
            raise EngineError(f"vLLM makes another {name} of a picture than its encoder", code=ErrorCode.INTERNAL)
        if own.is_floating_point():
            item[name].data = own.to(made.dtype)


def _fits(made: Any, own: Any) -> bool:
    """Whether the encoder's pixels have vLLM's shape; vLLM pads the tiles of a picture to the most of its context."""
    return own.ndim == made.ndim and own.shape[1:] == made.shape[1:] and len(own) <= len(made)


def _same(made: Any, value: Any) -> bool:
    same: bool = made.shape == value.shape and (made == value).all().item()
    return same


def _image(picture: Picture) -> Any:
    from PIL import Image

    assert picture.part is not None  # its reader keeps them
    return Image.frombytes("RGB", (picture.part.width, picture.part.height), picture.part.rgb)
