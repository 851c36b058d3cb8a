"""A narrow projector and pictures of noise, for tests that train the tiny vision-language model."""

import sys
from functools import partial
from pathlib import Path

# The source folders, so that the tests also run where the plugin is not installed.
sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "xmguard-smolvlm-tiny" / "src"))
sys.path.insert(0, str(Path(__file__).parents[2] / "plugins" / "xmguard-smolvlm-tiny" / "tests"))
from tiny_parts import SIDE, VISION, make_base, make_parts, noise, random_tower

from xmguard_research.scenes import Mark, Picture, scenes
from xmguard_smolvlm_tiny.configuration import SmolVlmTinyConfig

__all__ = ["SIDE", "VISION", "drawn", "make_base", "make_parts", "narrow", "noise", "random_tower"]


def drawn(count, split="train", seed=0, **ignored):
    """Stand-ins for drawn scenes: noise, with the questions of real ones, and a row of cells for every value."""
    for index, scene in enumerate(scenes(split=split, seed=seed, count=count, kinds=("activity", "price"))):
        rows = enumerate(scene.values.values())
        marks = tuple(Mark((value,), (0, 56 * row, 224, 56 * row + 56)) for row, value in rows)
        yield Picture(scene.id, noise(index, 60, 40), scene.questions, scene.sentences, scene.kind, scene, marks)


def narrow(monkeypatch):
    """Models made from now on have a small projector: the shipped one is most of a small test's time."""
    small = partial(SmolVlmTinyConfig, projector_width=32, projector_layers=1, projector_heads=2)
    monkeypatch.setattr("xmguard_smolvlm_tiny.assembly.SmolVlmTinyConfig", small)
