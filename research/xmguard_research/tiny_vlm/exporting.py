"""From a run's folder to the weights that travel in the plugin, with what they were made of and for how long.

Nothing is assumed of the run: what it did not write down is refused, or None where only readers want it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from xmguard.errors import SetupIncomplete
from xmguard.models.smollm2 import SmolLM2
from xmguard_research.tiny_vlm import checkpoints
from xmguard_research.tiny_vlm.budget import Budget
from xmguard_research.tiny_vlm.recipe import Stage, as_json, read_recipe
from xmguard_research.tiny_vlm.tower import PACKAGE, SHA256, published_tower
from xmguard_smolvlm_tiny import travelling
from xmguard_smolvlm_tiny.configuration import SmolVlmTinyVisionConfig


def export(run: Path, out: Path, tower: Path | None = None, *, unfinished: bool = False) -> travelling.Manifest:
    """Write what the newest checkpoint of the last stage holds, and the tower, into `out`.

    Raises:
        SetupIncomplete: a stage has no checkpoint, or is not finished and `unfinished` does not allow that; the run is
            of another version; the tower or the base cannot be had.
        ModelRefused: `tower` is another file.
    """
    recipe = read_recipe(run)
    stages = [_made(run, stage) for stage in recipe.stages]
    undone = [f"{one['name']} at {one['progress']:.0%}" for one in stages if one["progress"] < 1.0]
    if undone and not unfinished:
        raise SetupIncomplete(
            f"{run} is not finished: {', '.join(undone)}; go on with `python -m xmguard_research.tiny_vlm train --out "
            f"{run}` and the options it was begun with, or export what is there with --unfinished"
        )
    vision = SmolVlmTinyVisionConfig()
    seeing = published_tower(vision.stages, tower)
    return travelling.write(
        {
            **load_file(_newest(run, recipe.stages[-1]).folder / checkpoints.TRAINED),
            **{f"vision_tower.{name}": value for name, value in seeing.items()},
        },
        out,
        base=SmolLM2().pull().name,
        lora_scale=recipe.lora_scale,
        vision={"image_size": vision.image_size, "taps": vision.taps},
        training={
            **as_json(recipe),
            "stages": stages,
            "finished": not undone,
            "tower": {"package": PACKAGE, "sha256": SHA256},
            # Of the last stage, which is where the language model learns.
            **{name: stages[-1][name] for name in ("tokens_spent", "seconds_spent")},
        },
    )


def _newest(run: Path, stage: Stage) -> checkpoints.Checkpoint:
    found = checkpoints.newest(run, stage.name)
    if found is None:
        raise SetupIncomplete(f"{run} holds no whole checkpoint of the stage {stage.name}; train first")
    return found


def _made(run: Path, stage: Stage) -> dict[str, Any]:
    """A stage's settings, its bound, what was spent of it, how often its examples were read, and where."""
    newest = _newest(run, stage)
    budget = Budget.read(newest.folder / checkpoints.SPENT)
    machines = newest.folder / checkpoints.MACHINES
    return {
        **asdict(stage),
        "minutes": budget.minutes,
        "tokens": budget.tokens,
        "seconds_spent": budget.seconds_spent,
        "tokens_spent": budget.tokens_spent,
        "progress": budget.progress,
        "steps": newest.steps,
        "passes": round(newest.passes, 3),
        "machines": json.loads(machines.read_text(encoding="utf-8")) if machines.exists() else None,
    }
