"""Stage 0: draws the training pictures and keeps what the frozen tower makes of them.

One shard after another, each written whole: a run that was stopped goes on with the first that is missing. Knows
nothing of the language model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL.Image import Image
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor

from xmguard.errors import ErrorCode, XmguardError
from xmguard_research.scenes import Mark
from xmguard_research.tiny_vlm.prompts import Asked

SHARD = 256
"""Pictures a shard."""


class Drawn(Protocol):
    """A picture as `xmguard_research.scenes` draws it."""

    @property
    def id(self) -> str:
        """Unique in its series."""
        ...

    @property
    def image(self) -> Image:
        """RGB."""
        ...

    @property
    def questions(self) -> Sequence[Any]:
        """Each with text, answer and skill."""
        ...

    @property
    def sentences(self) -> Sequence[str]:
        """Statements of what it shows."""
        ...

    @property
    def kind(self) -> str:
        """Of scene."""
        ...

    @property
    def marks(self) -> Sequence[Mark]:
        """Where its words are."""
        ...


@dataclass(frozen=True)
class Seen:
    """A picture without its pixels."""

    id: str
    kind: str
    asked: tuple[Asked, ...]
    sentences: tuple[str, ...]
    marks: tuple[Mark, ...]


@torch.inference_mode()
def extract(tower: Any, processor: Any, images: Sequence[Image]) -> Tensor:
    """Features [image, cell, feature] in half precision, as the model's own tower gives them."""
    weight = tower.stem.weight
    pixels = processor.image_processor(list(images), return_tensors="pt").pixel_values
    features: Tensor = tower(pixels.to(weight.device, memory_format=torch.channels_last))
    return features.half().cpu()


def keep_features(drawn: Iterable[Drawn], count: int, folder: Path, tower: Any, processor: Any) -> None:
    """Write the shards that are missing. `drawn` is the same series at every call; it is not longer than `count`."""
    folder.mkdir(parents=True, exist_ok=True)
    tower = tower.to(memory_format=torch.channels_last).eval()
    pictures = iter(drawn)
    shards = range(len(_lengths(count)))
    if all(_tensors(folder, index).exists() for index in shards):
        return
    for index in track(shards, description="looking at pictures", console=Console(stderr=True)):
        chunk = list(islice(pictures, SHARD))
        if not _tensors(folder, index).exists():
            _write(folder, index, chunk, tower, processor)


def _write(folder: Path, index: int, chunk: Sequence[Drawn], tower: Any, processor: Any) -> None:
    features = torch.cat(
        [
            extract(tower, processor, [one.image for one in chunk[first : first + 32]])
            for first in range(0, len(chunk), 32)
        ]
    )
    with (folder / f"{index:05d}.jsonl").open("w", encoding="utf-8") as stream:
        for one in chunk:
            asked = tuple(Asked(question.text, question.answer, question.skill) for question in one.questions)
            stream.write(
                json.dumps(asdict(Seen(one.id, one.kind, asked, tuple(one.sentences), tuple(one.marks)))) + "\n"
            )
    unfinished = folder / f".{index:05d}"
    save_file({"features": features.contiguous()}, unfinished)
    unfinished.rename(_tensors(folder, index))  # last: a shard is there when this file is


class Gallery:
    """The kept pictures, in order: what was asked of them, and their features mapped from disk."""

    def __init__(self, folder: Path, count: int) -> None:
        """Of the `count` pictures that `keep_features` wrote into `folder`.

        Raises:
            XmguardError: there are others than these, or a shard is damaged.
        """
        lengths = _lengths(count)
        files = [_tensors(folder, index) for index in range(len(lengths))]
        if strange := sorted(file.name for file in set(folder.glob("*.safetensors")) ^ set(files)):
            raise _damaged(folder, f"{strange[0]} should {'' if folder / strange[0] in files else 'not '}be there")
        self._shards: list[Tensor] = []
        self.seen: list[Seen] = []
        for file, length in zip(files, lengths, strict=True):
            features, seen = load_file(file)["features"], list(_read(file.with_suffix(".jsonl")))
            if (len(features), len(seen)) != (length, length):
                raise _damaged(folder, f"{file.name} holds {len(features)} of {length} pictures, described {len(seen)}")
            self._shards.append(features)
            self.seen += seen
        self._places = [(shard, row) for shard, one in enumerate(self._shards) for row in range(len(one))]

    def __len__(self) -> int:
        return len(self.seen)

    def features(self, index: int) -> Tensor:
        """[cell, feature] of one picture."""
        shard, row = self._places[index]
        return self._shards[shard][row]


def _lengths(count: int) -> list[int]:
    """Of the shards."""
    return [min(SHARD, count - first) for first in range(0, count, SHARD)]


def _damaged(folder: Path, what: str) -> XmguardError:
    return XmguardError(
        f"the pictures kept in {folder} are damaged: {what}; delete that folder, they are drawn again",
        code=ErrorCode.FAILED_PRECONDITION,
    )


def _tensors(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.safetensors"


def _read(file: Path) -> Iterator[Seen]:
    with file.open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            asked = tuple(Asked(**one) for one in row["asked"])
            marks = tuple(Mark(tuple(one["words"]), tuple(one["box"]), one["spelled"]) for one in row["marks"])
            yield Seen(row["id"], row["kind"], asked, tuple(row["sentences"]), marks)
