"""Data and recipes for tests that train a tiny model."""

import json

from xmguard_research.mixing.recipe import Recipe

COLOURS = ("red", "blue", "green", "black")
SIX_STEPS = 22
"""Instances of one item, four a step; the last step is smaller."""


def conversation(index, turns=1):
    """Questions over two sources, as they are served, with their answers."""
    messages = []
    for turn in range(turns):
        colour = COLOURS[(index + turn) % len(COLOURS)]
        parts = ("Sources:\n", f"The door is {colour}" + "." * (index % 5), "\n\n", "It is a door.", "\nWhich colour?")
        messages.append({"role": "user", "content": [{"type": "text", "text": part} for part in parts]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": f"It is {colour}."}]})
    return {"id": f"i{index}", "items": [], "messages": messages}


def make_recipe(base, *, items=1, **train):
    """A recipe whose sources nobody reads: its data is made by `make_data`."""
    sources = [{"name": name, "modality": name, "path": f"{name}.jsonl"} for name in ("en", "es")]
    defaults = {"rank": 4, "learning_rate": 1e-2, "items_per_step": 4 * items, "instances_per_forward": 2}
    content = {
        "name": "tried",
        "base": str(base),
        "license": "MIT",
        "data": {"strategy": "dataset", "items": items, "trained_tokens": 100, "sources": sources},
        "train": defaults | {"save_steps": 2, "precision": "fp32"} | train,
    }
    return Recipe.parse(content, base.parent)


def make_data(folder, recipe, *, count=SIX_STEPS, turns=1):
    """A data folder as `building.build` leaves it, with as much of its manifest as training reads."""
    folder.mkdir(parents=True)
    for name, some in (("instances", range(count)), ("validation", range(100, 103))):
        lines = "".join(json.dumps(conversation(index, turns)) + "\n" for index in some)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    manifest = {"data_sha256": recipe.data_digest, "sources": [], "files": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder
