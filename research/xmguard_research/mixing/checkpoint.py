"""The checkpoint folder: an adapter or a whole model, with the card that says what it is and how it came about.

Knows nothing of training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xmguard.backends.low_rank import CONFIG, WEIGHTS
from xmguard.errors import ModelRefused
from xmguard.profile import CARD
from xmguard_research.mixing.bases import Base
from xmguard_research.mixing.building import commit
from xmguard_research.mixing.digest import sha256
from xmguard_research.mixing.folders import whole
from xmguard_research.mixing.readers import Reader
from xmguard_research.mixing.recipe import Recipe


def card(recipe: Recipe, base: Base, data: Mapping[str, Any], spent: Mapping[str, Any]) -> dict[str, Any]:
    """What `xmguard.json` says; the adapter's hash comes when it is written.

    Args:
        recipe: of the training.
        base: what it started from.
        data: the manifest of the data.
        spent: tokens, steps and seconds.
    """
    told = base.card.get("training")
    before = told if isinstance(told, dict) else {}  # other models' cards tell of their training in their own way
    parent = before.get("recipe_sha256")
    adapter = {} if recipe.train.method == "full" else {"adapter": {"acts_on": recipe.train.acts_on}}
    return {
        "name": recipe.name,
        "base_model": base.name,
        "base_sha256": base.sha256,
        "license": recipe.license,
        **adapter,
        "training": {
            "recipe": recipe.model_dump(mode="json", exclude_none=True),
            "recipe_sha256": recipe.digest,
            # Recipes whose training this one went on from, the first of them first.
            "parents": [*before.get("parents", []), *([parent] if parent else [])],
            "git": commit() or "unknown",
            "data": {
                key: data[key]
                for key in ("instances", "items", "sources", "files", "tokenizer_sha256", "git")
                if key in data
            },
            **spent,
        },
        "benchmarks": [],
    }


def write(
    model: Any, reader: Reader, folder: Path, said: Mapping[str, Any], state: Mapping[str, Tensor] | None = None
) -> None:
    """Write a checkpoint folder beside where it belongs, then put it there at once.

    Args:
        model: a PEFT model, of which the adapter is written, or a whole model, which is written with its reader.
        reader: the base's.
        folder: replaced if it is there.
        said: the card; the SHA-256 of the adapter is added to it.
        state: the model's weights by name, where the model itself may not hold them whole.

    Raises:
        OSError, RuntimeError, SafetensorError: it cannot be written; nothing is left of it.
        ModelRefused: a weight holds what is no finite number; nothing is left of it.
    """
    written = dict(said)
    with whole(folder) as new:
        if "adapter" in said:
            _adapter(model, new, model.state_dict() if state is None else state)
            written["adapter"] = {**said["adapter"], "sha256": sha256(new / WEIGHTS)}
        else:
            _require_finite(model.state_dict() if state is None else state)
            model.save_pretrained(new, state_dict=None if state is None else dict(state))
            reader.save(new)
        (new / CARD).write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _adapter(model: Any, folder: Path, state: Mapping[str, Tensor]) -> None:
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    # Half precision: an adapter travels, and its effect is far above the rounding.
    halved = {name: tensor.detach().to(torch.float16) for name, tensor in state.items() if name in trained}
    _require_finite(halved)
    model.save_pretrained(str(folder), state_dict=halved)
    (folder / "README.md").unlink(missing_ok=True)  # a template of PEFT's, to be filled in by hand
    settings = folder / CONFIG
    config = json.loads(settings.read_text(encoding="utf-8"))
    # The base's folder on this machine, and the order of a set, are nobody's business.
    config |= {"base_model_name_or_path": None, "target_modules": sorted(config["target_modules"])}
    settings.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _require_finite(weights: Mapping[str, Tensor]) -> None:
    broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if broken:
        raise ModelRefused(
            "the checkpoint",
            [
                f"{len(broken)} of its weights hold what is no finite number, such as {broken[0]}; train again in "
                "another folder with a lower train.learning_rate, a longer train.warmup, or precision: fp32"
            ],
        )
