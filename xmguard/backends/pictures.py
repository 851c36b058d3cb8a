"""Pictures on their way into a model: what its processor makes of one, and the tokens that stand for it.

How many tokens stand for a picture, and which others begin, end or structure their run, is the processor's decision:
it is asked about a text that holds one picture and nothing else. Knows nothing of prompts or weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xmguard.errors import ModelRefused
from xmguard.parts import ImagePart

_TYPES = ("mm_token_type_ids", "token_type_ids")
_OF_TOKENS = ("input_ids", "attention_mask", *_TYPES)
"""What a processor returns about tokens; the rest is for the vision tower."""


@dataclass(frozen=True)
class Picture:
    """One picture in a prompt."""

    start: int
    """Position of the first token of its run."""
    ids: tuple[int, ...]
    """The run: placeholders, and the tokens that begin, end and structure them."""
    placeholders: tuple[int, ...]
    """Which of `ids` the vision tower's features take the place of, in order."""
    types: tuple[int, ...]
    """What the processor calls each of `ids`: 0 text, 1 picture. Some processors call all of the run a picture."""
    inputs: Mapping[str, Tensor]
    """What the vision tower is given, by the name of its argument."""
    folded: tuple[int, ...]
    """The run before the processor expands it; for an engine that expands pictures by itself."""
    part: ImagePart | None = None
    """The picture itself, for such an engine."""

    @property
    def features(self) -> tuple[tuple[int, int], ...]:
        """Half-open ranges of the prompt's positions that the vision tower's features take, in order."""
        ranges: list[tuple[int, int]] = []
        for place in (self.start + index for index in self.placeholders):
            if ranges and ranges[-1][1] == place:
                ranges[-1] = (ranges[-1][0], place + 1)
            else:
                ranges.append((place, place + 1))
        return tuple(ranges)

    def at(self, start: int) -> Picture:
        """The same picture elsewhere."""
        return replace(self, start=start)


class PictureReader:
    """Turns pictures into tokens and tensors by a model's own processor. Stateless once built."""

    def __init__(self, processor: Any, placeholder: int, model: str, *, keeps_parts: bool = False) -> None:
        """Read pictures for one model.

        Args:
            processor: the model's own.
            placeholder: the id that the model's configuration gives to the token of a feature.
            model: what to call it when it is refused.
            keeps_parts: whether pictures keep what they were read from.

        Raises:
            ModelRefused: the processor cannot be asked about a single picture, or leaves no room for its features; its
                chat template takes a message in parts, but no picture between two texts.
        """
        self._processor = processor
        self._placeholder = placeholder
        self._keeps_parts = keeps_parts
        self._text = _picture_text(processor, model)
        self._folded = tuple(processor.tokenizer(self._text, add_special_tokens=False)["input_ids"])
        try:
            tried = self.read(ImagePart(64, 48, bytes(3 * 64 * 48)))
        except Exception as error:  # a processor fails in its own way
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise ModelRefused(model, [f"its processor cannot take a picture by itself: {said}"]) from error
        if not tried.placeholders or any(tried.types[index] == 0 for index in tried.placeholders):
            reason = f"its processor calls no token {placeholder} a picture's, which its configuration puts features at"
            raise ModelRefused(model, [reason])

    def read(self, part: ImagePart) -> Picture:
        """The picture as a run of tokens at position 0; raises what the processor raises."""
        from PIL import Image

        image = Image.frombytes("RGB", (part.width, part.height), part.rgb)
        made = self._processor(
            text=[self._text],
            images=[image],
            add_special_tokens=False,
            return_mm_token_type_ids=True,
            return_tensors="pt",
        )
        ids = made["input_ids"][0]
        types = next(made[name] for name in _TYPES if name in made)
        return Picture(
            start=0,
            ids=tuple(ids.tolist()),
            placeholders=tuple((ids == self._placeholder).nonzero().flatten().tolist()),
            types=tuple(torch.as_tensor(types)[0].tolist()),
            inputs={name: torch.as_tensor(value) for name, value in made.items() if name not in _OF_TOKENS},
            folded=self._folded,
            part=part if self._keeps_parts else None,
        )


def chat_template(processor: Any) -> str | None:
    """The template of a processor, or of its tokenizer; None if neither has one."""
    own = getattr(processor, "chat_template", None)
    found: str | None = own if own is not None else getattr(processor.tokenizer, "chat_template", None)
    return found


def _picture_text(processor: Any, model: str) -> str:
    """What stands for a picture in a text before the processor expands it.

    What the chat template writes between two texts, where it writes it there (some frame it);
    the bare token where a template gathers pictures in front of the texts, takes no parts, or there is none.

    Raises:
        ModelRefused: the template takes parts, but fails at these, so that a frame of the picture would be lost.
    """
    token: str = processor.image_token
    template = chat_template(processor)
    if template is None:
        return token
    before, after = ({"type": "text", "text": f"xmguard{where}"} for where in ("before", "after"))
    try:
        rendered = _rendered(processor, template, [before, {"type": "image"}, after])
    except Exception as error:  # a template is a program and fails in its own way
        if not _takes_parts(processor, template):
            return token
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ModelRefused(model, [f"its chat template takes no picture between two texts: {said}"]) from error
    between = rendered.partition(before["text"])[2].partition(after["text"])[0].strip()
    return between if between.count(token) == 1 else token


def _takes_parts(processor: Any, template: str) -> bool:
    """Whether a template takes a message of one text in parts."""
    try:
        return "xmguard" in _rendered(processor, template, [{"type": "text", "text": "xmguard"}])
    except Exception:  # as above
        return False


def _rendered(processor: Any, template: str, parts: list[dict[str, str]]) -> str:
    rendered: str = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": parts}], chat_template=template, tokenize=False
    )
    return rendered
