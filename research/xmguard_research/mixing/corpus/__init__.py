"""Texts for training: invented news as CLQA has it, of which nothing is in CLQA or another suite.

A folder per split; what is in one split is in no other. Knows no item and no prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from xmguard_research.benchmarks.clqa.corpus import Corpus

TRAIN, DEV = "train", "dev"
SPLITS: Mapping[str, Corpus] = {name: Corpus(files("xmguard_research.mixing.corpus") / name) for name in (TRAIN, DEV)}
"""By name."""
