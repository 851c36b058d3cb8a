"""Texts for training: invented news as CLQA has it, of which nothing is in CLQA or another suite.

A folder per split; what is in one split is in no other. Knows no item and no prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from itertools import zip_longest

from xmguard_research.benchmarks.clqa.corpus import Corpus
from xmguard_research.benchmarks.clqa.events import placeholders, toml

TRAIN, DEV = "train", "dev"
SPLITS: Mapping[str, Corpus] = {name: Corpus(files("xmguard_research.mixing.corpus") / name) for name in (TRAIN, DEV)}
"""By name."""
_POLAR = "polar.toml"


@cache
def polar_questions(corpus: Corpus) -> Mapping[str, str]:
    """Questions by event that ask, in English, whether its value is `{value}`: yes, no or not stated; with `{place}`.

    Only the splits have them. They are read once, when they are first needed.

    Raises:
        ValueError: the questions are not those of the corpus's events, in that order, or one does not hold the place
            and the value once each and nothing else.
    """
    questions = toml(corpus.texts, _POLAR)
    for event, name in zip_longest(corpus.events, questions):
        if event != name:
            raise ValueError(f"{_POLAR} has {name or 'nothing'} where events.toml has {event or 'nothing'}")
    for name, question in questions.items():
        if sorted(placeholders(question)) != ["place", "value"]:
            raise ValueError(f"{_POLAR}: the question of {name} must hold {{place}} and {{value}} once each, alone")
    return questions
