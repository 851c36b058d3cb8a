"""What the generators of scenes can be told, and its defaults. Makes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xmguard_research.mixing.generators.options import Asked, Replied
from xmguard_research.scenes.pictures import LAYOUTS
from xmguard_research.scenes.spec import Layout

Kind = Literal["activity", "objects", "price", "sign"]
Skill = Literal["activity", "object", "count", "colour", "position", "price", "sign"]
Modality = Literal["text", "image"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Of scenes that there are words for; the others are all writing."""
NAMED: Mapping[str, tuple[str, ...]] = {
    "activity": ("activity", "thing"),
    "price": ("price", "thing"),
    "sign": ("word", "colour", "thing"),
}
"""By layout, slots whose questions name what a scene of another kind has not: a person, a price, a sign."""


class SceneOptions(BaseModel):
    """What every generator of scenes takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: int = Field(default=1000, ge=1)
    """How many scenes; the first ones are the same for any number."""
    seed: int = Field(default=0, ge=0)
    """Scenes, questions and the order of everything depend on it."""
    scenes: tuple[Kind, ...] = Field(default=KINDS, min_length=1)
    """Kinds of scenes, which take turns."""
    skills: tuple[Skill, ...] = Field(default=get_args(Skill), min_length=1)
    """What questions may ask for."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        there = {slot.skill for layout in self.layouts for slot in layout.slots}
        if there.isdisjoint(self.skills):
            said = f"scenes of {', '.join(self.scenes)} answer no question for {', '.join(self.skills)}"
            raise ValueError(f"{said}; they do for {', '.join(sorted(there))}")
        return self

    @property
    def layouts(self) -> list[Layout]:
        """Of these kinds."""
        return [layout for layout in LAYOUTS if layout.kind in self.scenes]

    def named(self, layout: Layout) -> list[str]:
        """Slots that are asked for and `NAMED`."""
        own = NAMED.get(layout.name, ())
        return [slot.name for slot in layout.slots if slot.name in own and slot.skill in self.skills]


class SceneReadingOptions(Replied, SceneOptions):
    """One scene, told or drawn, a question, the short answer."""

    modality: Modality


class ScenePairsOptions(Asked, SceneOptions):
    """Two scenes and a question that they answer differently, alike, or not both."""

    modalities: list[tuple[Modality, Modality]] = Field(
        default=[("text", "text"), ("image", "image"), ("text", "image")], min_length=1
    )
    """Pairs, of which one is drawn for each topic; either modality comes first as often."""

    @model_validator(mode="after")
    def _has_strangers(self) -> Self:
        strange = self.unanswered
        if strange and (len(set(self.scenes)) < 2 or not any(map(self.named, self.layouts))):
            raise ValueError(
                f"{', '.join(strange)} takes scenes of two kinds, and questions about an activity, a price or a sign, "
                "which no other scene answers; add to scenes and skills, or give kinds only twins and consistent"
            )
        return self
