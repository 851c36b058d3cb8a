"""Scenes: items about one that is told or drawn, or about two that answer a question differently, alike, or not both.

Scenes are of the training split, so every combination of values that a suite shows is new to a model that learned from
these; pictures are drawn in the training style, and sentences and questions are those of `scene_words`. A conflict and
its control are twins: one scene's answer differs, and the reply; nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from random import Random
from typing import Any

from xmguard.parts import IMAGE
from xmguard.request import Prompt
from xmguard_research.benchmarks.cmqa.items import another_look
from xmguard_research.benchmarks.pictures import small
from xmguard_research.mixing.generators import asking
from xmguard_research.mixing.generators.asking import Record
from xmguard_research.mixing.generators.options import ABOUT_ANSWERS
from xmguard_research.mixing.generators.pairs import CONFLICT, CONTROL, ONE_ANSWERS, TWINS, asked, chosen
from xmguard_research.mixing.generators.replies import answered, reply
from xmguard_research.mixing.generators.scene_options import SceneOptions, ScenePairsOptions, SceneReadingOptions
from xmguard_research.mixing.generators.scene_words import question, tellings
from xmguard_research.scenes import Fact, Scene, draw, scenes
from xmguard_research.scenes.twins import of_scene

SPLIT = "train"
STYLE = "noto"
"""Of every picture; the other one is for measuring."""
PIXELS = 224
"""Width and height of a picture."""
SERIES = 40_000
"""Added to a seed: `smolvlm-tiny` was made from the pictures of the first seeds, and may know them by heart."""


def scene_reading(options: SceneReadingOptions) -> Iterator[Record]:
    """An item for every scene; a seed gives the same scenes, questions and replies in either modality.

    Raises:
        SetupIncomplete: the art is not on this machine; the message names the command that fetches it.
    """
    return islice(_readings(options), options.topics)


def _readings(options: SceneReadingOptions) -> Iterator[Record]:
    for scene in _series(options):
        facts = [fact for fact in scene.facts if fact.skill in options.skills]
        if not facts:
            continue
        random = Random(f"reading of {scene.id}")
        fact = random.choice(facts)
        asked = question(scene, fact.slot, random)
        source = _Source(scene, options.modality, 0, fact.answer)
        name = f"scene-reading/{scene.id}"
        replied = answered([fact.answer], options.reply)
        yield _item(name, [source], asked, Prompt.STANDARD, replied, _about(scene, fact))


def scene_pairs(options: ScenePairsOptions) -> Iterator[Record]:
    """Two items for scenes that become twins, one for every other scene.

    Raises:
        SetupIncomplete: the art is not on this machine; the message names the command that fetches it.
    """
    series, others = _series(options), _series(options, beside=True)
    random = Random(f"pairs of {options.seed}")
    for _ in range(options.topics):
        case = chosen(options.kinds, random)
        modalities = random.sample(random.choice(options.modalities), 2)
        if case in ABOUT_ANSWERS:
            found = _answered(series, options, case, modalities, random)
        else:
            found = _unanswered(series, others, options, case, modalities, random)
        prompt = asked(options.prompts, case, random)
        said = random.random()
        for name, sources in found.sources.items():
            replied = reply([one.answer for one in sources], prompt, options.phrasings, Random(said))
            about = _about(found.scene, found.fact) | {"case": case, "name": name}
            labels = "-".join(modalities)
            id_ = f"scene-pairs/{found.scene.id}/{labels}/{prompt.name.lower()}/{name}"
            yield _item(id_, sources, found.question, prompt, replied, about)


@dataclass(frozen=True)
class _Source:
    """A scene, told or drawn."""

    scene: Scene
    modality: str
    turn: int
    """0 or 1: in which words it is told, or with which look it is drawn."""
    answer: str | None
    """None if it does not answer the question that is asked."""

    @property
    def part(self) -> Record:
        """Of a message."""
        if self.modality == IMAGE:
            return {"type": "image", "png": _drawn_as(another_look(self.scene) if self.turn else self.scene)}
        return asking.text(tellings(self.scene, self.scene.random("training"))[self.turn])


@dataclass(frozen=True)
class _Asked:
    """A question about a scene, and over which sources it is put."""

    scene: Scene
    fact: Fact
    question: str
    sources: Mapping[str, Sequence[_Source]]
    """By the name of the item; twins are two."""


def _answered(
    series: Iterator[Scene], options: ScenePairsOptions, case: str, modalities: Sequence[str], random: Random
) -> _Asked:
    """Of the next scene that can have a twin, or of its twin: neither is the one that consistent sources have."""
    twins = next(made for number, scene in enumerate(series) if (made := of_scene(number, scene, options.skills)))
    one, turn, changed = random.randrange(2), random.randrange(2), random.randrange(2)

    def sources(sides: Sequence[int]) -> list[_Source]:
        return [
            _Source(twins.scenes[side], modality, (turn + place) % 2, twins.answers[side])
            for place, (side, modality) in enumerate(zip(sides, modalities, strict=True))
        ]

    found = {CONTROL: sources((one, one))}
    if case == TWINS:
        found = {CONFLICT: sources([1 - one if place == changed else one for place in range(2)]), **found}
    scene = twins.scenes[0]
    return _Asked(scene, scene.fact(twins.slot), question(scene, twins.slot, random), found)


def _unanswered(
    series: Iterator[Scene],
    others: Iterator[Scene],
    options: ScenePairsOptions,
    case: str,
    modalities: Sequence[str],
    random: Random,
) -> _Asked:
    """Of the next scene with something that scenes of another kind have not: beside one of those, or two of those."""
    scene, slots = next((scene, slots) for scene in series if (slots := options.named(scene.layout)))
    fact = scene.fact(random.choice(slots))
    shown: list[tuple[Scene, str | None]] = [
        (next(one for one in others if one.kind != scene.kind), None) for _ in modalities
    ]
    if case == ONE_ANSWERS:
        shown[random.randrange(2)] = (scene, fact.answer)
    sources = [
        _Source(one, modality, random.randrange(2), answer)
        for (one, answer), modality in zip(shown, modalities, strict=True)
    ]
    return _Asked(scene, fact, question(scene, fact.slot, random), {case: sources})


def _series(options: SceneOptions, *, beside: bool = False) -> Iterator[Scene]:
    """Scenes without end; those `beside` are others."""
    return scenes(split=SPLIT, seed=SERIES + 2 * options.seed + beside, count=sys.maxsize, kinds=list(options.scenes))


@lru_cache(maxsize=4096)  # arms and seeds of an experiment are built from the same pictures, of about 6 KB each
def _drawn_as(scene: Scene) -> bytes:
    return small(draw(scene, style=STYLE, size=PIXELS))


def _about(scene: Scene, fact: Fact) -> Record:
    return {"topic": scene.id, "scene": scene.kind, "skill": fact.skill, "split": SPLIT}


def _item(
    name: str, sources: Sequence[_Source], asked: str, prompt: Prompt, replied: str, about: Mapping[str, Any]
) -> Record:
    """A question over scenes, and its reply."""
    meta = {"modalities": [one.modality for one in sources], "scenes": [one.scene.id for one in sources], **about}
    return asking.item(name, [(one.part, one.answer) for one in sources], asked, prompt, replied, meta)
