"""The checkpoint folder: an adapter or a whole model, with the card that says what it is and how it came about.

Knows nothing of training.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmguard.profile import CARD

WEIGHTS = "adapter_model.safetensors"


def sha256(*files: Path) -> str:
    """Of the files' bytes, one after another."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def write(model: Any, tokenizer: Any, folder: Path, card: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Write a checkpoint folder beside where it belongs, then put it there at once.

    Args:
        model: a PEFT model, of which the adapter is written, or a whole model, which is written with its tokenizer.
        tokenizer: the base's.
        folder: replaced if it is there.
        card: `adapter.sha256` is added to it.
        state: the model's weights by name; of a PEFT model the adapter's.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    written = dict(card)
    if "adapter" in card:
        _adapter(model, partial, state)
        written["adapter"] = {**card["adapter"], "sha256": sha256(partial / WEIGHTS)}
    else:
        model.save_pretrained(partial, state_dict=dict(state))
        tokenizer.save_pretrained(partial)
    (partial / CARD).write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _adapter(model: Any, folder: Path, state: Mapping[str, Tensor]) -> None:
    # Half precision: an adapter travels, and its effect is far above the rounding.
    halved = {name: tensor.detach().to(torch.float16) for name, tensor in state.items()}
    model.save_pretrained(str(folder), state_dict=halved)
    (folder / "README.md").unlink(missing_ok=True)  # a template of PEFT's, to be filled in by hand
    settings = folder / "adapter_config.json"
    config = json.loads(settings.read_text(encoding="utf-8"))
    # The base's folder on this machine, and the order of a set, are nobody's business.
    config |= {"base_model_name_or_path": None, "target_modules": sorted(config["target_modules"])}
    settings.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
