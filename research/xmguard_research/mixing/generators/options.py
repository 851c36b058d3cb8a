"""What the generators can be told, and its defaults. Reads recipes' options strictly; makes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xmguard_research.mixing.generators.replies import PHRASINGS, Form

Code = Literal["en", "zh", "tr", "is", "es", "fr", "de"]
Size = Literal["short", "long", "mixed"]
Case = Literal["twins", "consistent", "one-answers", "none-answers"]
PromptName = Literal["standard", "instructed", "explicit"]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Chosen = TypeVar("Chosen", bound=BaseModel)

EXPLICIT: PromptName = "explicit"
ABOUT_ANSWERS: tuple[Case, ...] = ("twins", "consistent")
"""Cases in which every source answers: only of these is it asked whether all lead to the same answer."""


class Options(BaseModel):
    """What every generator takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topics: int = Field(default=1000, ge=1)
    """How many events are told; the first ones are the same for any number. Of more than a split has questions, some
    are asked again with other values."""
    seed: int = Field(default=0, ge=0)
    """Events, names, values and the order of everything depend on it."""
    size: Size = "mixed"
    """Of sources: `short` is two sentences, `long` 54 to 138 words, of Chinese 126 to 214 characters; `mixed` draws one
    for each event."""
    split: Literal["train", "dev"] = "train"
    """Events and names of which texts; those of `dev` are not in `train`."""


class Replied(BaseModel):
    """How a question that one source answers is replied to, whatever the sources are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reply: Form = "value"
    """`value` alone (`670 meters`), or `sources`: what each says, in the first phrasing of pairs (`Source 1:
    670 meters. Source 2: not stated.`), so that what is trained beside pairs, or after them, has the form of theirs."""


class Polar(BaseModel):
    """Whether it is asked for yes or no too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    polar: Weight = Field(default=0, le=1)
    """Share of events of which it is asked whether a value is theirs, which sources answer with yes or no. Replies say
    first which value they tell: `670 meters, so yes`."""


class ReadingOptions(Polar, Replied, Options):
    """One source in one language, a question, the short answer."""

    language: Code = "en"
    """Of the source; question and answer are English."""


class TwoLanguages(Options):
    """What every generator of two sources takes."""

    languages: list[tuple[Code, Code]] = Field(default=[("en", "en")], min_length=1)
    """Pairs, of which one is drawn for each event; either language comes first as often."""


class CrossOptions(Replied, TwoLanguages):
    """Two sources about different things, and a question that one of them answers."""


class Asked(BaseModel):
    """How pairs of sources are asked about, whatever they are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: dict[PromptName, Weight] = Field(default={"standard": 2.0, "instructed": 1.0, EXPLICIT: 1.0})
    """How often each asks, in relation. `explicit` asks only where every source answers."""
    kinds: dict[Case, Weight] = Field(
        default={"twins": 4.0, "consistent": 1.0, "one-answers": 2.0, "none-answers": 1.0}
    )
    """How many topics become each, in relation; a case that is not named is not made.

    `twins` are a conflict and its control, two items that differ in one source's answer and the reply. The others are
    one item each, none of them a conflict.
    """
    phrasings: int = Field(default=3, ge=1, le=PHRASINGS)
    """How many ways there are to say the same in a reply."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if not sum(self.prompts.values()) or not sum(self.kinds.values()):
            raise ValueError("all weights are 0; give prompts and kinds one that is more")
        if self.unanswered and not any(weight for prompt, weight in self.prompts.items() if prompt != EXPLICIT):
            raise ValueError(
                f"the explicit prompt does not ask of {', '.join(self.unanswered)}; give standard or instructed a "
                f"weight too, or kinds only {' and '.join(ABOUT_ANSWERS)}"
            )
        return self

    @property
    def unanswered(self) -> list[Case]:
        """Cases that are made in which not every source answers."""
        return [kind for kind, weight in self.kinds.items() if weight and kind not in ABOUT_ANSWERS]


class PairsOptions(Polar, Asked, TwoLanguages):
    """Two sources and a question that they answer differently, alike, or not both."""

    third: Weight = Field(default=0.1, le=1)
    """Share of events that get a third source, which does not answer. Not under `explicit`."""


def parsed(kind: type[Chosen], options: Mapping[str, Any]) -> Chosen:
    """Options as a recipe gives them.

    Raises:
        ValueError: one is unknown or has no possible value; the message names it and what is known.
    """
    unknown = sorted(set(options) - set(kind.model_fields))
    if unknown:
        raise ValueError(f"there is no option {', '.join(unknown)}; known: {', '.join(kind.model_fields)}")
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        wrong = (f"{'.'.join(map(str, one['loc'])) or 'options'}: {one['msg']}" for one in error.errors())
        raise ValueError("; ".join(wrong)) from error
