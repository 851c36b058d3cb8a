"""What the generators of scenes can be told, and its defaults. Makes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xmguard_research.mixing.generators.options import EXPLICIT, PromptName, Weight
from xmguard_research.mixing.generators.replies import PHRASINGS
from xmguard_research.scenes.pictures import LAYOUTS
from xmguard_research.scenes.spec import Layout

Kind = Literal["activity", "objects", "price", "sign"]
Skill = Literal["activity", "object", "count", "colour", "position", "price", "sign"]
Modality = Literal["text", "image"]
SceneCase = Literal["twins", "consistent", "one-answers", "none-answers"]
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


class SceneReadingOptions(SceneOptions):
    """One scene, told or drawn, a question, the short answer."""

    modality: Modality


class ScenePairsOptions(SceneOptions):
    """Two scenes and a question that they answer differently, alike, or not both."""

    modalities: list[tuple[Modality, Modality]] = Field(
        default=[("text", "text"), ("image", "image"), ("text", "image")], min_length=1
    )
    """Pairs, of which one is drawn for each topic; either modality comes first as often."""
    prompts: dict[PromptName, Weight] = Field(default={"standard": 2.0, "instructed": 1.0, EXPLICIT: 1.0})
    """How often each asks, in relation. `explicit` asks only where both scenes answer."""
    kinds: dict[SceneCase, Weight] = Field(
        default={"twins": 4.0, "consistent": 1.0, "one-answers": 2.0, "none-answers": 1.0}
    )
    """How many topics become each, in relation: `twins` a conflict and its control, two items that differ in one
    scene's answer and the reply; the others one item each, none of them a conflict."""
    phrasings: int = Field(default=3, ge=1, le=PHRASINGS)
    """How many ways there are to say the same in a reply."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if not sum(self.prompts.values()) or not sum(self.kinds.values()):
            raise ValueError("all weights are 0; give prompts and kinds one that is more")
        strange = [kind for kind in ("one-answers", "none-answers") if self.kinds.get(kind)]
        if strange and not any(weight for prompt, weight in self.prompts.items() if prompt != EXPLICIT):
            raise ValueError(
                f"the explicit prompt does not ask of {', '.join(strange)}; give standard or instructed a weight too, "
                "or kinds only twins and consistent"
            )
        if strange and (len(set(self.scenes)) < 2 or not any(map(self.named, self.layouts))):
            raise ValueError(
                f"{', '.join(strange)} takes scenes of two kinds, and questions about an activity, a price or a sign, "
                "which no other scene answers; add to scenes and skills, or give kinds only twins and consistent"
            )
        return self
