"""Small recipes and sources for the tests of mixing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from xmguard_research.mixing.digest import sha256
from xmguard_research.mixing.items import Item, Message
from xmguard_research.mixing.recipe import Recipe


def records(name: str, count: int) -> list[dict[str, Any]]:
    """Items of three texts and a reply, whose contents name the source."""
    return [
        {
            "id": f"{name}-{index}",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": text} for text in ("Read.\n\n", f"{name} {index}", "\n\nWhat?")
                    ],
                },
                {"role": "assistant", "content": f"It is {name} {index}."},
            ],
        }
        for index in range(count)
    ]


def write(file: Path, rows: Sequence[Any]) -> Path:
    """JSON lines."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def item(source: str, index: int, *, modality: str = "", system: str = "", turns: int = 1) -> Item:
    """An item with as many turns; its modality is its source's name."""
    said = [Message("system", (system,))] if system else []
    for turn in range(turns):
        said += [
            Message("user", (f"{source}{index} asks {turn}",)),
            Message("assistant", (f"{source}{index} says {turn}",)),
        ]
    return Item(f"{source}{index}", source, modality or source, tuple(said), f"{source}.jsonl:{index + 1}", {})


def recipe(folder: Path, base: Path, sources: Sequence[dict[str, Any]], **data: Any) -> Recipe:
    """A recipe in a folder, of these sources; the rest are defaults."""
    told = {"trained_tokens": 2000} | data | {"sources": list(sources)}
    train = {"items_per_step": 12, "instances_per_forward": 2}  # fit 1, 2 and 3 items
    content = {"name": "t", "base": str(base), "license": "Apache-2.0", "data": told, "train": train}
    return Recipe.parse(content, folder)


def adapter(folder: Path, base: str) -> Path:
    """A folder as of an adapter on a base, which is named as its card does; it fits no model."""
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    update = {f"base_model.model.model.layers.0.up_proj.lora_{side}.weight": torch.ones(1, 1) for side in "AB"}
    save_file(update, folder / "adapter_model.safetensors")
    weights = sorted((folder / base).glob("*.safetensors"))
    card = {"name": folder.name, "base_model": base, "base_sha256": sha256(*weights)}
    made = card | {"adapter": {"sha256": sha256(folder / "adapter_model.safetensors"), "acts_on": "all"}}
    (folder / "xmguard.json").write_text(json.dumps(made), encoding="utf-8")
    return folder
