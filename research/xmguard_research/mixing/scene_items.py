"""Generated items about scenes, drawn or told: one source and a question, or two that contradict each other or do not.

Scenes are of the training split, so every combination of values that a suite shows is new to a model that learned from
these; pictures are drawn in the training style, and sentences and questions are those of `scene_wordings`. Knows no
model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xmguard.languages.english.prompts import PROMPT_TEXT
from xmguard.parts import IMAGE
from xmguard.prompt_text import QUESTION
from xmguard_research.benchmarks.cmqa.items import another_look
from xmguard_research.benchmarks.pictures import small
from xmguard_research.benchmarks.protocol import PROMPTS
from xmguard_research.mixing.scene_wordings import question, tellings
from xmguard_research.scenes import Scene, draw, scenes
from xmguard_research.scenes.pictures import LAYOUTS
from xmguard_research.scenes.spec import Layout
from xmguard_research.scenes.twins import of_scene

SPLIT = "train"
STYLE = "noto"
"""Of every picture; the other one is for measuring."""
PIXELS = 224
"""Width and height of a picture."""
SERIES = 40_000
"""Added to a seed: `smolvlm-tiny` was made from the pictures of the first seeds, and may know them by heart."""
NAMED: Mapping[str, tuple[str, ...]] = {
    "activity": ("activity", "thing"),
    "price": ("price", "thing"),
    "sign": ("word", "colour", "thing"),
}
"""By layout, slots whose questions name what a scene of another kind has not: a person, a price, a sign.
There is a sky above a sign too."""
Kind = Literal["activity", "objects", "price", "sign"]
Skill = Literal["activity", "object", "count", "colour", "position", "price", "sign"]
Modality = Literal["text", "image"]
Variant = Literal["text-text", "image-image", "text-image", "image-text"]
Relation = Literal["conflict", "consistent", "one-answers"]
PromptName = Literal["standard", "instructed", "explicit"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CONFLICT, CONSISTENT, ONE = get_args(Relation)
Record = dict[str, Any]
Name = TypeVar("Name", bound=str)


class _Options(BaseModel):
    """Strict: an option that nobody reads would be one that is silently not applied."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    seed: int = Field(0, ge=0)
    """Of the series of scenes."""
    count: int = Field(2000, ge=1)
    """Items."""
    kinds: tuple[Kind, ...] = Field(KINDS, min_length=1)
    """Of scenes, which take turns."""
    skills: tuple[Skill, ...] = Field(get_args(Skill), min_length=1)
    """What questions may ask for."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        there = {slot.skill for layout in LAYOUTS if layout.kind in self.kinds for slot in layout.slots}
        if there.isdisjoint(self.skills):
            said = f"scenes of {', '.join(self.kinds)} answer no question for {', '.join(self.skills)}"
            raise ValueError(f"{said}; they do for {', '.join(sorted(there))}")
        return self

    def scenes(self, series: int = 0) -> Iterator[Scene]:
        """Scenes of these kinds without end; the same in every call, and others in another `series`."""
        return scenes(split=SPLIT, seed=SERIES + 2 * self.seed + series, count=sys.maxsize, kinds=self.kinds)


class ReadingOptions(_Options):
    """Of `scene-reading`."""

    modality: Modality


class PairOptions(_Options):
    """Of `scene-pairs`. Weights are relative to each other."""

    variants: dict[Variant, float] = dict.fromkeys(get_args(Variant), 1.0)
    """Modalities in the order in which they are read."""
    relations: dict[Relation, float] = {CONFLICT: 1.0, CONSISTENT: 1.0}
    """How the sources' answers relate."""
    prompts: dict[PromptName, float] = dict.fromkeys(get_args(PromptName), 1.0)
    """Which task the question is put in."""

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        for field in ("variants", "relations", "prompts"):
            weights = getattr(self, field).values()
            if min(weights, default=-1.0) < 0 or not sum(weights):
                raise ValueError(f"{field} need weights of 0 or more, one of them above 0")
        named = [slot for layout in LAYOUTS if layout.kind in self.kinds for slot in _named(layout, self.skills)]
        if self.relations.get(ONE) and (len(set(self.kinds)) < 2 or not named):
            raise ValueError(
                f"{ONE} takes scenes of two kinds, and questions about an activity, a price or a sign, which no other "
                "scene answers; name such kinds and skills, or no such relation"
            )
        return self


def reading(given: Mapping[str, Any]) -> Iterator[Record]:
    """`scene-reading`: a scene told or drawn, a question about it, and the answer.

    A seed gives the same scenes and questions in either modality.

    Raises:
        ValueError: an option is missing, unknown, or cannot have its value.
        SetupIncomplete: the art is not on this machine; the message names the command that fetches it.
    """
    options = ReadingOptions.model_validate(given)
    return islice(_readings(options), options.count)


def _readings(options: ReadingOptions) -> Iterator[Record]:
    for scene in options.scenes():
        facts = [fact for fact in scene.facts if fact.skill in options.skills]
        if not facts:
            continue
        random = Random(f"reading of {scene.id}")
        fact = random.choice(facts)
        asked = question(scene, fact.slot, random)
        source = _part(scene, options.modality, 0)
        yield _record(f"reading-{scene.id}", [source], "standard", asked, fact.answer) | {
            "meta": {
                "topic": scene.id,
                "kind": scene.kind,
                "skill": fact.skill,
                "question": asked,
                "answer": fact.answer,
                "conflict": False,
            }
        }


@dataclass(frozen=True)
class _Two:
    """Two scenes and a question."""

    scenes: tuple[Scene, Scene]
    answers: tuple[str | None, str | None]
    """None of a scene that does not answer."""
    topic: str
    """Of the scene that is asked about."""
    kind: str
    """Of that scene."""
    question: str
    skill: str


def pairs(given: Mapping[str, Any]) -> Iterator[Record]:
    """`scene-pairs`: two sources and a question that both answer, alike or differently, or that one alone answers.

    A scene and its twin differ in the asked fact; each is as likely at either place in a conflict as in agreement, so
    that no source alone gives the label away. Sources that agree are told in other words, or drawn with another look,
    as those of a conflict are.

    Raises:
        ValueError: an option is unknown, or cannot have its value.
        SetupIncomplete: the art is not on this machine; the message names the command that fetches it.
    """
    options = PairOptions.model_validate(given)
    return islice(_pairs(options), options.count)


def _pairs(options: PairOptions) -> Iterator[Record]:
    series, others = options.scenes(), options.scenes(1)
    random = Random(f"pairs of {options.seed}")
    while True:
        relation = _drawn(options.relations, random)
        two = (
            _one_answers(series, others, options, random)
            if relation == ONE
            else _both_answer(series, options, relation, random)
        )
        variant, prompt = _drawn(options.variants, random), _drawn(options.prompts, random)
        turns = random.sample((0, 1), 2)
        sources = [
            _part(scene, modality, turn)
            for scene, modality, turn in zip(two.scenes, variant.split("-"), turns, strict=True)
        ]
        reply = _reply(two.answers, prompt)
        yield _record(f"{variant}-{relation}-{two.topic}", sources, prompt, two.question, reply) | {
            "meta": {
                "topic": two.topic,
                "scenes": [scene.id for scene in two.scenes],
                "kind": two.kind,
                "skill": two.skill,
                "question": two.question,
                "answers": list(two.answers),
                "variant": variant,
                "prompt": prompt,
                "relation": relation,
                "conflict": relation == CONFLICT,
            }
        }


def _both_answer(series: Iterator[Scene], options: PairOptions, relation: str, random: Random) -> _Two:
    """Of the next scene that can have a twin."""
    twins = next(made for number, scene in enumerate(series) if (made := of_scene(number, scene, options.skills)))
    first = random.randrange(2)
    a, b = first, 1 - first if relation == CONFLICT else first
    scene = twins.scenes[0]
    return _Two(
        (twins.scenes[a], twins.scenes[b]),
        (twins.answers[a], twins.answers[b]),
        topic=scene.id,
        kind=scene.kind,
        question=question(scene, twins.slot, random),
        skill=twins.skill,
    )


def _one_answers(series: Iterator[Scene], others: Iterator[Scene], options: PairOptions, random: Random) -> _Two:
    """The next scene with a question of its own, and another that has not what it names; either comes first."""
    scene, slots = next((scene, slots) for scene in series if (slots := _named(scene.layout, options.skills)))
    slot = random.choice(slots)
    other = next(one for one in others if one.kind != scene.kind)
    fact = scene.fact(slot)
    first = random.randrange(2)
    return _Two(
        (scene, other) if first else (other, scene),
        (fact.answer, None) if first else (None, fact.answer),
        topic=scene.id,
        kind=scene.kind,
        question=question(scene, slot, random),
        skill=fact.skill,
    )


def _named(layout: Layout, skills: Sequence[str]) -> list[str]:
    """Slots of these skills that are `NAMED`."""
    return [slot.name for slot in layout.slots if slot.name in NAMED.get(layout.name, ()) and slot.skill in skills]


def _drawn(weights: Mapping[Name, float], random: Random) -> Name:
    return random.choices(list(weights), list(weights.values()))[0]


def _reply(answers: tuple[str | None, str | None], prompt: str) -> str:
    first, second = answers
    if first is None or second is None:
        return str(first or second)
    return first if first == second else f"The sources disagree: source 1 says {first}, source 2 says {second}."


def _part(scene: Scene, modality: str, turn: int) -> Record:
    """A source; another `turn` tells or draws the same otherwise."""
    if modality == IMAGE:
        looked = another_look(scene) if turn else scene
        return {"type": "image", "png": small(draw(looked, style=STYLE, size=PIXELS))}
    return {"type": "text", "text": tellings(scene, scene.random("training"))[turn]}


def _record(name: str, sources: Sequence[Record], prompt: str, asked: str, reply: str) -> Record:
    said = [{"type": "text", "text": PROMPT_TEXT.preamble}]
    for index, source in enumerate(sources):
        said += [{"type": "text", "text": PROMPT_TEXT.separator}] if index else []
        said.append(source)
    said.append({"type": "text", "text": PROMPT_TEXT.tasks[PROMPTS[prompt]].replace(QUESTION, asked)})
    return {"id": name, "messages": [{"role": "user", "content": said}, {"role": "assistant", "content": reply}]}
